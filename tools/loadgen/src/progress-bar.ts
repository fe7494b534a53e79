import type { WriteStream } from "node:tty";

/** Shows how far a run is; silent where nobody looks. */
export interface ProgressBar {
  update(label: string, ratio: number): void;
  clear(): void;
}

const WIDTH = 32;

/** A bar on a terminal; on anything else nothing. */
export function createProgressBar(stream: Pick<WriteStream, "isTTY" | "write">): ProgressBar {
  if (!stream.isTTY) return { update: () => undefined, clear: () => undefined };
  return {
    update(label, ratio) {
      const filled = Math.round(Math.min(1, Math.max(0, ratio)) * WIDTH);
      const bar = "█".repeat(filled) + "░".repeat(WIDTH - filled);
      stream.write(`\r\x1b[K${bar} ${String(Math.round(ratio * 100)).padStart(3)} %  ${label}`);
    },
    clear: () => {
      stream.write("\r\x1b[K");
    },
  };
}
