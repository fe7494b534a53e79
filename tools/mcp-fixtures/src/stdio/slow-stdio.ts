import { buildSlowServer } from "../slow-server.ts";
import { serveProgram } from "./program.ts";

const calls = { started: 0, completed: 0, aborted: 0 };

await serveProgram(() => buildSlowServer(calls));
