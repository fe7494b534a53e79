import { buildEchoServer } from "../echo-server.ts";
import { serveProgram } from "./program.ts";

await serveProgram(buildEchoServer);
