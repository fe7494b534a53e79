import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import type { ChaosRun } from "../src/run-chaos.ts";

const main = join(import.meta.dirname, "../src/main.ts");

// Slow: three gateways start as processes, and a killed one has to count as dead.
it("every fault once: no cross-talk, no lost update, no call executed twice, no stuck session, and the command ends", {
  timeout: 300_000,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), "gatewright-chaos-"));
  const out = join(folder, "run.json");
  const sizes = ["--clients", "12", "--seconds", "15", "--calls", "300", "--rounds", "1", "--hold", "4"];
  const command = spawn(process.execPath, ["--conditions=@gatewright/source", main, ...sizes, "--out", out], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [table, progress, [code]] = await Promise.all([
    text(command.stdout),
    text(command.stderr),
    once(command, "exit"),
  ]);
  expect(code, progress).toBe(table.includes("| NO ") ? 1 : 0);
  const run = JSON.parse(await readFile(out, "utf8")) as ChaosRun;
  const { crossTalk, lostUpdates, executedTwice, begunAnew, stuck } = run;
  expect({ crossTalk, lostUpdates, executedTwice, begunAnew, stuck }).toEqual({
    ...{ crossTalk: [], lostUpdates: [], executedTwice: [], begunAnew: [], stuck: [] },
  });
  expect(Object.values(run.faults)).toEqual([1, 1, 1, 1]);
  expect(run.calls).toBeGreaterThanOrEqual(300);
  const killed = run.recoveries.find(({ kind }) => kind === "replica killed");
  expect(killed?.clients).toBeGreaterThan(0);
  // Dead after 3 s, and 1 s; the machine may be busy here.
  expect(killed?.longestMs).toBeLessThan(5 * 4_000);
  expect(progress.match(/ % {2}/g)).toHaveLength(5);
  await rm(folder, { recursive: true });
});
