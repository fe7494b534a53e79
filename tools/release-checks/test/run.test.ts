import { expect, it } from "vitest";
import { run } from "../src/run.ts";

const node = (code: string, timeoutMs: number) =>
  run(process.execPath, ["-e", code], { cwd: import.meta.dirname, timeoutMs });

it("tells the exit code and what was printed", async () => {
  const ended = await node("console.log('out'); console.error('err'); process.exitCode = 3", 60_000);
  expect(ended).toEqual({ code: 3, output: "out\nerr\n" });
});

it("a command that did not end in time has failed, though it ends with 0 when it is told to", async () => {
  const patient = "process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000);";
  const ended = await node(patient, 1_000);
  expect(ended).toEqual({ code: 1, output: expect.stringContaining("ended after 1000 ms, unfinished") });
});
