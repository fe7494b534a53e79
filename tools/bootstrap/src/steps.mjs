// How `npm test` runs its steps: those that say something of the sources beside the tests, which mostly wait.
import { runChild } from "./child.mjs";

/** What a check may take of the processor while tests run: what these leave, and a little more (niceness, as of nice(1)). */
const checkPriority = 10;

/**
 * @typedef {{name: string, file: string, args: string[]}} Step a command, under the name that it is shown by
 * @typedef {{name: string, code: number, seconds: number, signal?: string}} Ended what came of it
 */

/**
 * Runs a step; what it prints is passed on as it comes.
 * @param {Step} step
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv}} options where and in what environment
 * @returns {Promise<Ended>}
 */
export function runStep(step, options) {
  console.log(`\n— ${step.name}`);
  return timed(step, options);
}

/**
 * Runs checks one after the other, all of them, giving way to whatever else runs. What one prints is shown in one piece,
 * once it has failed.
 * @param {Step[]} checks
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv}} options where and in what environment
 * @returns {Promise<Ended[]>} up to the first that got a signal
 */
export async function runChecks(checks, options) {
  const ended = [];
  for (const check of checks) {
    const { output, ...result } = await timed(check, {
      ...options,
      stdio: ["ignore", "pipe", "pipe"],
      priority: checkPriority,
    });
    ended.push(result);
    if (result.signal !== undefined) break;
    if (result.code !== 0) console.log(`\n— ${check.name}: FAILED\n${output.trimEnd()}`);
  }
  return ended;
}

async function timed({ name, file, args }, options) {
  const before = Date.now();
  const ended = await runChild(file, args, { ...options, graceMs: 5_000 });
  return { ...ended, name, seconds: (Date.now() - before) / 1000 };
}
