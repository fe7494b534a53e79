import { execFile, fork } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const conditions = "--conditions=@gatewright/source";

/** A primary and three workers are real processes: about a second. */
async function runCluster(...flags: string[]) {
  const program = join(import.meta.dirname, "cluster-program.ts");
  const args = [conditions, program, ...flags];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 15_000 });
  return JSON.parse(stdout);
}

it("PF-I6 the cluster workers of one host switch together over Node IPC, without Redis", async () => {
  const { before, report, after } = await runCluster();
  expect(before).toEqual([false, false, false]);
  expect(report).toMatchObject({ converged: true, guarantee: "leased", missing: [] });
  expect(report.expected.sort()).toEqual(["worker-1", "worker-2", "worker-3"]);
  expect(after).toEqual([true, true, true]);
});

it("PF-I6 a worker that was killed takes neither the primary nor the next switch with it", async () => {
  const report = await runCluster("--kill-one");
  expect(report).toMatchObject({ converged: true, missing: [] });
  expect(report.expected.sort()).toEqual(["worker-2", "worker-3"]);
});

it("PF-I6 when the channel to the primary closes, calls under way and later ones are rejected, not thrown", async () => {
  const child = fork(join(import.meta.dirname, "ipc-orphan-program.ts"), [], {
    execArgv: [conditions],
    silent: true,
  });
  const said = await text(child.stdout!);
  expect(JSON.parse(said)).toEqual([
    expect.stringMatching(/closed/i),
    expect.stringMatching(/closed|channel/i),
  ]);
});
