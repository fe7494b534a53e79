import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

// A primary and three workers are real processes: about a second.
it("PF-I6 the cluster workers of one host switch together over Node IPC, without Redis", async () => {
  const program = join(import.meta.dirname, "cluster-program.ts");
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--conditions=@gatewright/source", program],
    {
      timeout: 15_000,
    },
  );
  const { before, report, after } = JSON.parse(stdout);
  expect(before).toEqual([false, false, false]);
  expect(report).toMatchObject({ converged: true, guarantee: "leased", missing: [] });
  expect(report.expected.sort()).toEqual(["worker-1", "worker-2", "worker-3"]);
  expect(after).toEqual([true, true, true]);
});
