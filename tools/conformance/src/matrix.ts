import { type ConformanceReport, failedChecks } from "@gatewright/mcp-fixtures";

/** How the suite reached a server: itself, through a gateway unchanged, or translated on the way. */
export type Way = "direct" | "through" | "bridged";

/** What one run came to. */
export interface Cell {
  readonly passed: number;
  readonly of: number;
  /** Checks that failed, as `scenario:check`. */
  readonly failed: readonly string[];
  /** Checks that were made. */
  readonly checks: number;
  /** Checks that came to something else than directly, and how. */
  readonly differing: readonly string[];
}

/** The results by the revision of the client. */
export type Matrix = ReadonlyMap<string, ReadonlyMap<Way, Cell>>;

const ways: readonly { readonly way: Way; readonly title: string }[] = [
  { way: "direct", title: "direct" },
  { way: "through", title: "through the gateway" },
  { way: "bridged", title: "bridged by the gateway" },
];

/** The figures of a run. */
export function cellOf(
  { passed, scored, checks }: ConformanceReport,
  differing: readonly string[] = [],
): Cell {
  return { passed, of: scored.length, failed: failedChecks(checks), checks: checks.size, differing };
}

/** The matrix as a Markdown table, and under it the checks: which failed, and which differ from the direct run. */
export function renderMatrix(matrix: Matrix): string {
  const head = ["client", ...ways.map(({ title }) => title)];
  const rows = [...matrix].map(([client, cells]) => [
    client,
    ...ways.map(({ way }) => textOf(cells.get(way))),
  ]);
  const notes = [...matrix].flatMap(([client, cells]) =>
    ways.flatMap(({ way, title }) => notesOn(`${client}, ${title}`, cells.get(way))),
  );
  const lines = [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
  return [...lines, ...(notes.length === 0 ? [] : ["", ...notes])].join("\n");
}

function notesOn(run: string, cell: Cell | undefined): string[] {
  if (cell === undefined) return [];
  const { checks, failed, differing } = cell;
  const failures = failed.length === 0 ? "none failed" : `failed: ${failed.join(", ")}`;
  return [`${run}: ${checks} checks, ${failures}`, ...differing.map((line) => `  differs: ${line}`)];
}

function textOf(cell: Cell | undefined): string {
  return cell === undefined ? "" : `${cell.passed} of ${cell.of}`;
}
