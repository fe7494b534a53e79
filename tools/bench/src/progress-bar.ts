import type { WriteStream } from "node:tty";

const width = 32;

/** Draws how far a run is, on a terminal; on anything else nothing. */
export function createProgressBar(stream: Pick<WriteStream, "isTTY" | "write">) {
  let drawn = -1;
  return {
    /** `ratio` from 0 to 1. */
    update(label: string, ratio: number): void {
      const percent = Math.floor(ratio * 100);
      if (!stream.isTTY || percent === drawn) return;
      drawn = percent;
      const filled = Math.round(ratio * width);
      const bar = "█".repeat(filled) + "░".repeat(width - filled);
      stream.write(`\r\x1b[K${bar} ${String(percent).padStart(3)} %  ${label}`);
    },
    clear(): void {
      drawn = -1;
      if (stream.isTTY) stream.write("\r\x1b[K");
    },
  };
}
