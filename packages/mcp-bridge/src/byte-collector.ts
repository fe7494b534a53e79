/** Length from which a chunk may be kept as it is: what it takes beside its bytes is then a few percent. */
const KEPT_BYTES = 4_096;
/** A chunk that is kept takes no more than so many times its length: it is a view of all that was read with it. */
const MOST_VIEWED = 4;
/** Longest block that small chunks are copied into. */
const MAX_BLOCK_BYTES = 65_536;

const EMPTY = Buffer.alloc(0);

/**
 * Bytes that come in chunks, until all are there. However they are cut, what is held stays in proportion to their
 * length: a Buffer of its own takes a chunk of one byte some hundred more, so small chunks are copied into blocks. Large
 * ones are kept as they are. What usually comes in one chunk is better kept by {@link collect}.
 */
export class ByteCollector {
  #pieces: Buffer[] = [];
  /** Where small chunks go; what is before `#from` is in `#pieces` already, what is behind `#to` is free. */
  #block = EMPTY;
  #from = 0;
  #to = 0;
  #length = 0;
  #held = 0;

  /** Begins with a chunk that was kept so far. */
  constructor(first: Buffer = EMPTY) {
    this.add(first);
  }

  /** Bytes that have come. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that are held for them: at most twice as many, or one small block. */
  get heldBytes(): number {
    return this.#held;
  }

  /** Takes the next chunk. */
  add(chunk: Buffer): void {
    this.#length += chunk.length;
    if (chunk.length >= KEPT_BYTES && chunk.length * MOST_VIEWED >= chunk.buffer.byteLength) {
      this.#cut();
      this.#pieces.push(chunk);
      this.#held += chunk.length;
      return;
    }
    const fitting = chunk.copy(this.#block, this.#to);
    this.#to += fitting;
    if (fitting === chunk.length) return;
    this.#cut();
    const grown = Math.min(Math.max(this.#length, KEPT_BYTES), MAX_BLOCK_BYTES);
    this.#block = Buffer.allocUnsafeSlow(Math.max(grown, chunk.length - fitting));
    this.#held += this.#block.length;
    this.#from = 0;
    this.#to = chunk.copy(this.#block, 0, fitting);
  }

  /** All that has come, as one buffer; the collector is empty again. */
  take(): Buffer {
    this.#cut();
    const [first] = this.#pieces;
    const whole = first !== undefined && this.#pieces.length === 1 ? first : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#block = EMPTY;
    this.#from = 0;
    this.#to = 0;
    this.#length = 0;
    this.#held = 0;
    return whole;
  }

  /** What is in the block becomes a piece; its free end is used on. */
  #cut(): void {
    if (this.#to > this.#from) this.#pieces.push(this.#block.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }
}

/** What has come so far: nothing, the one chunk that most messages are, or more of them. */
export type Collected = Buffer | ByteCollector | undefined;

/** What has come with the next chunk added; a first chunk is kept as it is, at no cost. */
export function collect(before: Collected, chunk: Buffer): Collected {
  if (before === undefined) return chunk;
  const all = before instanceof ByteCollector ? before : new ByteCollector(before);
  all.add(chunk);
  return all;
}

/** All that has come, as one buffer; of what was collected nothing may be used any more. */
export function collected(bytes: Collected): Buffer {
  return bytes instanceof ByteCollector ? bytes.take() : (bytes ?? EMPTY);
}
