// `npm run NAME`: installs if needed, then runs one of the project's long commands on the project's Node.
import "./require-node.mjs";
import { join } from "node:path";
import { runChild } from "./child.mjs";
import { projectEnvironment } from "./environment.mjs";
import { ensureInstalled, InstallError } from "./install.mjs";
import { projectNode, root } from "./workspace.mjs";

const commands = {
  bench: "tools/bench/src/main.ts",
  conformance: "tools/conformance/src/main.ts",
  "chaos:sessions": "tools/chaos/src/main.ts",
  faults: "tools/faults/src/main.ts",
  loadtest: "tools/loadgen/src/main.ts",
  "chaos:database": "tools/resilience/src/chaos.ts",
  "probe:toggle": "tools/probe/src/main.ts",
  resilience: "tools/resilience/src/main.ts",
  "simulate:classifier": "packages/server-classifier/bench/simulate.ts",
};

const [name = "", ...rest] = process.argv.slice(2);
const entry = commands[name];
if (entry === undefined) {
  console.error(`There is no command "${name}": it is one of ${Object.keys(commands).join(", ")}.`);
  process.exit(2);
}
try {
  await ensureInstalled(root);
} catch (error) {
  if (!(error instanceof InstallError)) throw error;
  console.error(error.message);
  process.exit(1);
}
const args = ["--conditions=@gatewright/source", join(root, entry), ...rest];
const { code } = await runChild(projectNode, args, { cwd: root, env: projectEnvironment() });
process.exit(code);
