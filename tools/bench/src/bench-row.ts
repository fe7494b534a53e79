import { appendFileSync } from "node:fs";

/** One measured figure beside the same figure of the named peers, all from one run. */
export interface BenchRow {
  /** Package or app, without the scope. */
  readonly subject: string;
  /** What was measured, with its load: `check, 3 rules, Redis`. */
  readonly what: string;
  /** Unit of all figures of the row. */
  readonly unit: string;
  /** Whether less or more of the unit is better. */
  readonly better: "less" | "more";
  /** Our figure. */
  readonly ours: number;
  /** Peer name → its figure. */
  readonly peers: Readonly<Record<string, number>>;
  /** Peer name → how many times better ours is, where that was measured round by round; else it is told by the figures. */
  readonly times?: Readonly<Record<string, number>>;
  /** The bar as the specification words it, where there is one. */
  readonly bar?: string;
  /** Whether the bar was met in this run. */
  readonly met?: boolean;
}

/** Environment variable that names the file to which rows are appended, one JSON object a line. */
export const resultsVariable = "GATEWRIGHT_BENCH_RESULTS";

/** Adds a row to the results of the running `npm run bench`, and prints it. */
export function recordRow(row: BenchRow): void {
  const file = process.env[resultsVariable];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(row)}\n`);
  console.log(formatRow(row));
}

/** A row as one line of text: what, ours, each peer with its ratio to ours, and the bar. */
export function formatRow(row: BenchRow): string {
  const peers = Object.entries(row.peers).map(
    ([name, value]) => `${name} ${figure(value)} (${ratio(row, name, value)})`,
  );
  const bar =
    row.bar === undefined
      ? ""
      : `  bar: ${row.bar}${row.met === undefined ? "" : row.met ? " — met" : " — MISSED"}`;
  return `${row.subject}: ${row.what}: ${figure(row.ours)} ${row.unit}${peers.length > 0 ? `  vs ${peers.join(", ")}` : ""}${bar}`;
}

/** How many times better ours is than a peer's figure, as `2.3×`: as measured in pairs, or else the quotient. */
export function ratio(row: BenchRow, name: string, peer: number): string {
  const times = row.times?.[name] ?? (row.better === "less" ? peer / row.ours : row.ours / peer);
  return `${times.toFixed(times < 10 ? 2 : 0)}×`;
}

/** A figure with three significant digits and thousands apart. */
export function figure(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 3 });
}
