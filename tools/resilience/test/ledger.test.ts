import { describe, expect, it } from "vitest";
import { caseTable } from "../src/case-table.ts";
import { Ledger } from "../src/ledger.ts";

describe("the ledger", () => {
  it("finds acknowledged writes that are missing, and writes that are there too often", () => {
    const ledger = new Ledger();
    for (const fate of ["acknowledged", "acknowledged", "refused", "unknown"] as const) {
      for (const record of ["right", "lost", "doubled"]) ledger.note(record, fate);
    }
    ledger.note("gone", "acknowledged");
    expect(ledger.acknowledged).toBe(7);
    const effects = new Map([
      ["right", 3],
      ["lost", 1],
      ["doubled", 4],
    ]);
    expect(ledger.settle(effects)).toEqual({
      writes: 13,
      acknowledged: 7,
      refused: 3,
      unknown: 3,
      lost: 2,
      doubled: 1,
    });
  });
});

describe("the table of the cases", () => {
  it("has all thirteen, says which held, and which were not run", () => {
    const result = { title: "t", seconds: 1 } as const;
    const table = caseTable(
      [
        { ...result, id: "CL-01", level: "package", passed: true },
        { ...result, id: "CL-01", level: "gateway", passed: true },
        { ...result, id: "TX-03", level: "gateway", passed: false },
      ],
      [{ test: "black box > CL-01 stopped", what: "liveness p99 ms", value: 3.4 }],
    ).split("\n");
    expect(table).toHaveLength(15);
    expect(table[2]).toMatch(/^CL-01 .* 1\/1 +1\/1 +2\.0 +yes +liveness p99 ms 3$/);
    expect(table[3]).toMatch(/^CL-02 .* - +- +0\.0 +-$/);
    expect(table[14]).toMatch(/^TX-03 .* - +0\/1 +1\.0 +NO$/);
  });
});
