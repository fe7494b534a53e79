import { buildCrashServer } from "../crash-server.ts";
import { serveProgram } from "./program.ts";

await serveProgram(() => buildCrashServer(() => process.exit(1)));
