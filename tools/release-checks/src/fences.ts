import { readFileSync } from "node:fs";

/** A TypeScript code fence of a Markdown file. */
export interface Fence {
  readonly text: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** False for fences marked ```` ```ts no-run ````: they are type-checked only. */
  readonly runs: boolean;
}

/** The ```` ```ts ```` fences of a Markdown file in order. */
export function typescriptFences(file: string): readonly Fence[] {
  const fences: Fence[] = [];
  let open: { line: number; runs: boolean; lines: string[] } | undefined;
  for (const [index, line] of readFileSync(file, "utf8").split("\n").entries()) {
    if (open === undefined) {
      const info = /^```ts(?: (no-run))?\s*$/.exec(line);
      if (info !== null) open = { line: index + 1, runs: info[1] === undefined, lines: [] };
    } else if (line.startsWith("```")) {
      fences.push({ text: `${open.lines.join("\n")}\n`, line: open.line, runs: open.runs });
      open = undefined;
    } else {
      open.lines.push(line);
    }
  }
  return fences;
}
