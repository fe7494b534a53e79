// Starts the demo in this process, and prints the URLs of all modules that were loaded by when it says that it serves.
import { registerHooks } from "node:module";

const loaded: string[] = [];
registerHooks({
  load(url, context, next) {
    // A built-in module that is required costs what is used of it; one that is imported, all that it exports.
    if (!url.startsWith("node:") || !context.conditions.includes("require")) loaded.push(url);
    return next(url, context);
  },
});
const { runCli } = await import("../../src/cli/run-cli.ts");
const stopped = Promise.withResolvers<void>();
const code = await runCli(["serve", "--demo"], {
  env: process.env,
  out(line) {
    if (!line.startsWith("MCP clients connect")) return;
    console.log(JSON.stringify(loaded));
    stopped.resolve();
  },
  err: console.error,
  stopped: () => stopped.promise,
});
process.exit(code);
