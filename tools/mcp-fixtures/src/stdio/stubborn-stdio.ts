import { buildEchoServer } from "../echo-server.ts";
import { serveProgram } from "./program.ts";

// Neither the end of its input nor a polite signal ends this program; only SIGKILL does.
process.on("SIGTERM", () => process.stderr.write("SIGTERM ignored\n"));
process.on("SIGINT", () => process.stderr.write("SIGINT ignored\n"));
process.on("SIGHUP", () => process.stderr.write("SIGHUP ignored\n"));
setInterval(() => undefined, 60_000);

await serveProgram(buildEchoServer);
