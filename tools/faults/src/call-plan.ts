/** The tools of the flaky server: read-only, idempotent, idempotent and destructive, without hints. */
export type Tool = "read" | "put" | "remove" | "write";

/** One call of a run; the key names it in the server's ledger. */
export interface PlannedCall {
  readonly tool: Tool;
  readonly key: string;
}

/** Which tools twenty calls in a row use: half write, two in five read. */
const round: readonly Tool[] = [
  ...Array.from({ length: 10 }, () => "write" as const),
  ...Array.from({ length: 8 }, () => "read" as const),
  "put",
  "remove",
];

/** The calls of a run, interleaved; the same number gives the same calls. */
export function planCalls(count: number): PlannedCall[] {
  return Array.from({ length: count }, (_, index) => {
    const tool = round[(index * 7) % round.length] ?? "read";
    return { tool, key: `${tool}-${index}` };
  });
}
