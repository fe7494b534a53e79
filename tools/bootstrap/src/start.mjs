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
// Room for young objects from the beginning, as much as V8 gives them under load: growing to it costs a start about 0.1 s.
const v8 = "--min-semi-space-size=32";
const args = [v8, "--conditions=@gatewright/source", main, "serve", "--demo", ...process.argv.slice(2)];
const { code, signal } = await runChild(projectNode, args, { cwd: root, env: projectEnvironment() });
process.exit(signal === undefined ? code : code === 0 ? 0 : code);
