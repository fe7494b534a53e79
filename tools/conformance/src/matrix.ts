import type { ConformanceReport } from "@gatewright/mcp-fixtures";

/** How the suite reached a server: itself, through a gateway unchanged, or translated on the way. */
export type Way = "direct" | "through" | "bridged";

/** What one run came to. */
export interface Cell {
  readonly passed: number;
  readonly of: number;
  readonly failed: readonly string[];
}

/** The results by the revision of the client. */
export type Matrix = ReadonlyMap<string, ReadonlyMap<Way, Cell>>;

const ways: readonly { readonly way: Way; readonly title: string }[] = [
  { way: "direct", title: "direct" },
  { way: "through", title: "through the gateway" },
  { way: "bridged", title: "bridged by the gateway" },
];

/** The figures of a run. */
export function cellOf({ passed, scored, failed }: ConformanceReport): Cell {
  return { passed, of: scored.length, failed };
}

/** The matrix as a Markdown table, and under it what failed. */
export function renderMatrix(matrix: Matrix): string {
  const head = ["client", ...ways.map(({ title }) => title)];
  const rows = [...matrix].map(([client, cells]) => [
    client,
    ...ways.map(({ way }) => textOf(cells.get(way))),
  ]);
  const notes = [...matrix].flatMap(([client, cells]) =>
    ways.flatMap(({ way, title }) => {
      const failed = cells.get(way)?.failed ?? [];
      return failed.length === 0 ? [] : [`${client}, ${title}: ${failed.join(", ")} failed`];
    }),
  );
  const lines = [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
  return [...lines, ...(notes.length === 0 ? [] : ["", ...notes])].join("\n");
}

function textOf(cell: Cell | undefined): string {
  return cell === undefined ? "" : `${cell.passed} of ${cell.of}`;
}
