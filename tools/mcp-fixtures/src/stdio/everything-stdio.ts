import { buildEverythingServer } from "../everything/everything-server.ts";
import { createEverythingState } from "../everything/everything-state.ts";
import { serveProgram } from "./program.ts";

const state = createEverythingState();

await serveProgram(() => {
  const instance = buildEverythingServer(state);
  state.join(instance);
  return instance.server;
});
