// `npm start`: installs if needed, then runs the gateway from source on its embedded defaults.
import "./require-node.mjs";
import { join } from "node:path";
import { runChild } from "./child.mjs";
import { projectEnvironment } from "./environment.mjs";
import { ensureInstalled, InstallError } from "./install.mjs";
import { projectNode, root } from "./workspace.mjs";

try {
  await ensureInstalled(root);
} catch (error) {
  if (!(error instanceof InstallError)) throw error;
  console.error(error.message);
  process.exit(1);
}
const main = join(root, "apps", "gateway", "src", "main.ts");
// Room for young objects from the beginning: growing to it costs a start about 0.1 s. And no more than that: with twice as
// much, 50 KB answers hold 64 MB outside the heap before the young are collected, at which V8 collects everything.
const v8 = ["--min-semi-space-size=16", "--max-semi-space-size=16"];
const args = [...v8, "--conditions=@gatewright/source", main, "serve", "--demo", ...process.argv.slice(2)];
const { code, signal } = await runChild(projectNode, args, { cwd: root, env: projectEnvironment() });
process.exit(signal === undefined ? code : code === 0 ? 0 : code);
