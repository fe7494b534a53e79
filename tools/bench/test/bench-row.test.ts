import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type BenchRow, formatRow, recordRow, resultsVariable } from "../src/index.ts";

const row: BenchRow = {
  subject: "retry-backoff",
  what: "success path",
  unit: "ns",
  better: "less",
  ours: 50,
  peers: { cockatiel: 150 },
  bar: "≤ 100 ns",
  met: true,
};

it("says how many times better ours is, whichever direction is better", () => {
  expect(formatRow(row)).toBe(
    "retry-backoff: success path: 50 ns  vs cockatiel 150 (3.00×)  bar: ≤ 100 ns — met",
  );
  expect(
    formatRow({ ...row, unit: "checks/s", better: "more", ours: 90_000, peers: { other: 30_000 } }),
  ).toContain("90,000 checks/s  vs other 30,000 (3.00×)");
});

it("says what was measured in pairs rather than the quotient of two figures of different rounds", () => {
  const peers = { cockatiel: 150, opossum: 100 };
  expect(formatRow({ ...row, peers, times: { cockatiel: 2.5 } })).toContain(
    "50 ns  vs cockatiel 150 (2.50×), opossum 100 (2.00×)",
  );
});

it("appends a line to the results of the run", () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-row-"));
  const file = join(folder, "rows.jsonl");
  process.env[resultsVariable] = file;
  try {
    recordRow(row);
    recordRow(row);
    expect(
      readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([row, row]);
  } finally {
    delete process.env[resultsVariable];
    rmSync(folder, { recursive: true });
  }
});
