// `pnpm run bench [COLUMN …]`: what a dispatch costs per awaited call, against hookable's callHook and tapable's
// AsyncSeriesHook. Columns: 0-sync, 1-sync, 1-async, 5-sync, 5-async; all of them, or the named ones.
import { fork } from "node:child_process";
import { join } from "node:path";

/** Median CPU nanoseconds of a call, and the median of the rounds' ratios of ours to hookable and to the floor. */
interface Column {
  readonly ns: Readonly<Record<string, number>>;
  readonly toHookable: number;
  readonly toFloor: number;
}

/** Each column in a process of its own: what one has compiled for would slow down the next. */
function measure(count: string, kind: string): Promise<Column> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, "variants", "dispatch.ts"), [count, kind], {
      execArgv: ["--conditions=@gatewright/source"],
    });
    child.on("message", (column) => resolve(column as Column));
    child.on("error", reject);
    child.on("close", (code) => reject(new Error(`${count} ${kind} ended with ${code} and no result`)));
  });
}

const columns = ["0-sync", "1-sync", "1-async", "5-sync", "5-async"];
const wanted = process.argv.slice(2);
console.log(
  "| ns of CPU per awaited call | gatewright | hookable | tapable | awaiting any object | ratio to hookable |",
);
console.log("| --- | --- | --- | --- | --- | --- |");
for (const column of columns) {
  if (wanted.length > 0 && !wanted.includes(column)) continue;
  const [count = "", kind = ""] = column.split("-");
  const { ns, toHookable, toFloor } = await measure(count, kind);
  const cells = ["gatewright", "hookable", "tapable", "any object"].map((name) => ns[name]?.toFixed(0));
  const floor = count === "0" ? ` (${toFloor.toFixed(2)} of any object)` : "";
  const title = count === "0" ? "0 handlers" : `${count} ${kind}`;
  console.log(`| ${title} | ${cells.join(" | ")} | ${toHookable.toFixed(2)}${floor} |`);
}
