import { readFileSync } from "node:fs";
import { join } from "node:path";
import { conformanceCases } from "@gatewright/mcp-fixtures";
import { describe, expect, it } from "vitest";
import { type Cell, renderMatrix, type Way } from "../src/matrix.ts";

describe("the conformance matrix", () => {
  const cell = (of: number, failed: readonly string[] = [], scenarios = failed.length): Cell => ({
    passed: of - scenarios,
    of,
    failed,
    checks: 100,
    differing: failed.map((check) => `${check}: FAILURE, not SUCCESS`),
  });
  const matrix = new Map<string, Map<Way, Cell>>();
  for (const { front, way, scenarios, failed, failedChecks } of conformanceCases) {
    const row = matrix.get(front) ?? new Map<Way, Cell>([["direct", cell(scenarios)]]);
    matrix.set(front, row.set(way, cell(scenarios, failedChecks, failed.length)));
  }

  const rejects = "server-stateless:sep-2575-server-rejects-undeclared-capability";
  const status = "server-stateless:sep-2575-missing-capability-http-400";

  it("names each revision's figures, and what failed", () => {
    expect(renderMatrix(matrix).split("\n")).toEqual([
      "| client | direct | through the gateway | bridged by the gateway |",
      "| --- | --- | --- | --- |",
      "| 2025-11-25 | 30 of 30 | 30 of 30 | 30 of 30 |",
      "| 2026-07-28 | 37 of 37 | 37 of 37 | 36 of 37 |",
      "",
      "2025-11-25, direct: 100 checks, none failed",
      "2025-11-25, through the gateway: 100 checks, none failed",
      "2025-11-25, bridged by the gateway: 100 checks, none failed",
      "2026-07-28, direct: 100 checks, none failed",
      "2026-07-28, through the gateway: 100 checks, none failed",
      `2026-07-28, bridged by the gateway: 100 checks, failed: ${rejects}, ${status}`,
      `  differs: ${rejects}: FAILURE, not SUCCESS`,
      `  differs: ${status}: FAILURE, not SUCCESS`,
    ]);
    expect(renderMatrix(new Map([["2025-11-25", new Map([["direct", cell(30)]])]]))).toContain(
      "| 30 of 30 |  |  |",
    );
  });

  it("is in the README as the tests hold it", () => {
    const readme = readFileSync(join(import.meta.dirname, "../../../README.md"), "utf8");
    const [table = ""] = renderMatrix(matrix).split("\n\n");
    expect(readme).toContain(table);
  });
});
