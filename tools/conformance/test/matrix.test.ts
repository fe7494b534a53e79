import { readFileSync } from "node:fs";
import { join } from "node:path";
import { conformanceCases } from "@gatewright/mcp-fixtures";
import { describe, expect, it } from "vitest";
import { type Cell, renderMatrix, type Way } from "../src/matrix.ts";

describe("the conformance matrix", () => {
  const cell = (of: number, failed: readonly string[] = []): Cell => ({
    passed: of - failed.length,
    of,
    failed,
  });
  const matrix = new Map<string, Map<Way, Cell>>();
  for (const { front, way, scenarios, failed } of conformanceCases) {
    const row = matrix.get(front) ?? new Map<Way, Cell>([["direct", cell(scenarios)]]);
    matrix.set(front, row.set(way, cell(scenarios, failed)));
  }

  it("names each revision's figures, and what failed", () => {
    expect(renderMatrix(matrix).split("\n")).toEqual([
      "| client | direct | through the gateway | bridged by the gateway |",
      "| --- | --- | --- | --- |",
      "| 2025-11-25 | 30 of 30 | 30 of 30 | 30 of 30 |",
      "| 2026-07-28 | 37 of 37 | 37 of 37 | 36 of 37 |",
      "",
      "2026-07-28, bridged by the gateway: server-stateless failed",
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
