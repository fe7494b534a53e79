// The environment of everything the bootstrap starts.
import { delimiter, join } from "node:path";
import { binFolder, cacheFolder, projectNode } from "./workspace.mjs";

/**
 * The project's own Node and binaries first on PATH; no telemetry; no colours where nobody sees them. V8's compiled code
 * and the stripped types are kept: a third of the work of the next process.
 * @param {NodeJS.ProcessEnv} [env] what it starts from
 * @param {boolean} [isTerminal] whether a person sees the output
 * @returns {NodeJS.ProcessEnv}
 */
export function projectEnvironment(env = process.env, isTerminal = process.stdout.isTTY === true) {
  const path = [join(projectNode, ".."), binFolder, env.PATH ?? ""].join(delimiter);
  const kept = { NODE_COMPILE_CACHE: env.NODE_COMPILE_CACHE ?? join(cacheFolder, "compiled") };
  const result = { ...env, ...kept, PATH: path, DO_NOT_TRACK: "1", TURBO_TELEMETRY_DISABLED: "1" };
  if (!isTerminal) {
    delete result.FORCE_COLOR;
    result.NO_COLOR = "1";
  }
  return result;
}
