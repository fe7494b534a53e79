import { type Collected, collect, collected } from "../byte-collector.ts";

const LF = 0x0a;
const CR = 0x0d;

/** Options of {@link LineSplitter}. */
export interface LineSplitterOptions {
  readonly onLine: (line: Buffer) => void;
  /** Longest line in bytes. */
  readonly maxBytes: number;
  /** `cut`: the rest of a longer line is dropped; `fail`: `onTooLong` is called and the line is dropped. */
  readonly tooLong: "cut" | "fail";
  readonly onTooLong?: () => void;
}

/** Splits a byte stream into lines at LF (a CR before it is dropped); chunks may be cut anywhere. Bounded. */
export class LineSplitter {
  readonly #options: LineSplitterOptions;
  #partial: Collected;
  #bytes = 0;
  #dropping = false;

  constructor(options: LineSplitterOptions) {
    this.#options = options;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      this.#take(chunk.subarray(start, end));
      this.#emit();
      start = end + 1;
    }
    if (start < chunk.length) this.#take(chunk.subarray(start));
  }

  /** Reports what is left as a last line. */
  end(): void {
    if (this.#bytes > 0) this.#emit();
  }

  #take(piece: Buffer): void {
    const { maxBytes, tooLong, onTooLong } = this.#options;
    if (this.#dropping) return;
    if (this.#bytes + piece.length <= maxBytes) {
      this.#partial = collect(this.#partial, piece);
      this.#bytes += piece.length;
      return;
    }
    this.#dropping = true;
    if (tooLong === "cut") {
      this.#partial = collect(this.#partial, piece.subarray(0, maxBytes - this.#bytes));
      this.#bytes = maxBytes;
    } else {
      this.#partial = undefined;
      this.#bytes = 0;
      onTooLong?.();
    }
  }

  #emit(): void {
    const line = collected(this.#partial);
    const dropped = this.#dropping && this.#options.tooLong === "fail";
    this.#partial = undefined;
    this.#bytes = 0;
    this.#dropping = false;
    if (dropped) return;
    this.#options.onLine(line[line.length - 1] === CR ? line.subarray(0, -1) : line);
  }
}
