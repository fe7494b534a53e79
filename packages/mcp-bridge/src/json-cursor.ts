const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Longest stretch of a string that is walked byte by byte before the native search takes over. */
const SHORT_STRING = 48;

/** Why a scan ended early. `depth`: nested deeper than allowed; `malformed`: not JSON. */
export class ScanError extends Error {
  readonly reason: "depth" | "malformed";
  constructor(reason: "depth" | "malformed") {
    super(reason);
    this.reason = reason;
  }
}

/**
 * A forward cursor over JSON bytes that finds where values begin and end and how deep they nest, without
 * building anything. It does not prove validity (`JSON.parse` does that afterwards): on valid JSON its spans are
 * exact, on anything else it throws {@link ScanError} or finds spans that the parser then rejects.
 */
export class JsonCursor {
  readonly bytes: Buffer;
  readonly maxDepth: number;
  /** Next byte to look at. */
  at: number;
  /** Objects and arrays that are open. */
  depth = 0;
  /** Span of the last key, quotes excluded. */
  keyStart = 0;
  keyEnd = 0;
  /** True when the last key contains an escape, so that its bytes are not its text. */
  keyEscaped = false;

  constructor(bytes: Buffer, at: number, maxDepth: number) {
    this.bytes = bytes;
    this.at = at;
    this.maxDepth = maxDepth;
  }

  /** Moves to the next byte that is not white space and returns it; −1 at the end. */
  peek(): number {
    const { bytes } = this;
    let at = this.at;
    let byte = bytes[at];
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++at];
    this.at = at;
    return byte ?? -1;
  }

  /** Consumes `{` or `[`; false when the next value is something else. */
  enter(open: "{" | "["): boolean {
    if (this.peek() !== (open === "{" ? OPEN_BRACE : OPEN_BRACKET)) return false;
    this.at++;
    if (++this.depth > this.maxDepth) throw new ScanError("depth");
    return true;
  }

  /**
   * Moves to the next member of the object that was entered: key in `keyStart`/`keyEnd`, cursor on the value.
   * False when the object ended (its brace is consumed).
   */
  nextMember(): boolean {
    let byte = this.peek();
    if (byte === COMMA) {
      this.at++;
      byte = this.peek();
    }
    if (byte === CLOSE_BRACE) {
      this.at++;
      this.depth--;
      return false;
    }
    if (byte !== QUOTE) throw new ScanError("malformed");
    this.keyStart = this.at + 1;
    this.keyEscaped = false;
    this.skipString(true);
    this.keyEnd = this.at - 1;
    if (this.peek() !== COLON) throw new ScanError("malformed");
    this.at++;
    this.peek();
    return true;
  }

  /** Moves to the next element of the array that was entered; false when the array ended. */
  nextElement(): boolean {
    let byte = this.peek();
    if (byte === COMMA) {
      this.at++;
      byte = this.peek();
    }
    if (byte === CLOSE_BRACKET) {
      this.at++;
      this.depth--;
      return false;
    }
    if (byte < 0) throw new ScanError("malformed");
    return true;
  }

  /** The last key as text, escapes resolved. */
  key(): string {
    const raw = this.bytes.toString("utf8", this.keyStart, this.keyEnd);
    if (!this.keyEscaped) return raw;
    try {
      return JSON.parse(`"${raw}"`) as string;
    } catch {
      throw new ScanError("malformed");
    }
  }

  /** True when the last key is `name` (ASCII). */
  keyIs(name: string): boolean {
    if (this.keyEscaped) return this.key() === name;
    const length = this.keyEnd - this.keyStart;
    if (length !== name.length) return false;
    const { bytes, keyStart } = this;
    for (let index = length - 1; index >= 0; index--) {
      if (bytes[keyStart + index] !== name.charCodeAt(index)) return false;
    }
    return true;
  }

  /** True when the last key begins with `prefix` (ASCII). */
  keyStartsWith(prefix: string): boolean {
    if (this.keyEscaped) return this.key().startsWith(prefix);
    const { bytes, keyStart } = this;
    if (this.keyEnd - keyStart < prefix.length) return false;
    for (let index = 0; index < prefix.length; index++) {
      if (bytes[keyStart + index] !== prefix.charCodeAt(index)) return false;
    }
    return true;
  }

  /** Skips one value of any kind, counting its depth on top of what is open. */
  skipValue(): void {
    const { bytes, maxDepth } = this;
    const floor = this.depth;
    let depth = floor;
    for (;;) {
      const byte = this.peek();
      switch (byte) {
        case QUOTE:
          this.skipString(false);
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          this.at++;
          if (++depth > maxDepth) throw new ScanError("depth");
          continue;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          this.at++;
          depth--;
          break;
        case COMMA:
        case COLON:
          if (depth === floor) throw new ScanError("malformed");
          this.at++;
          continue;
        case -1:
          throw new ScanError("malformed");
        default:
          this.at = endOfLiteral(bytes, this.at);
      }
      if (depth < floor) throw new ScanError("malformed");
      if (depth === floor) return;
    }
  }

  private skipString(isKey: boolean): void {
    const { bytes } = this;
    let at = this.at + 1;
    let slow = at + SHORT_STRING;
    for (;;) {
      const byte = bytes[at];
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) {
        if (isKey) this.keyEscaped = true;
        at += 2;
      } else if (byte === undefined) throw new ScanError("malformed");
      else at++;
      if (at > slow) {
        at = this.findQuote(at, isKey);
        slow = at + SHORT_STRING;
      }
    }
    this.at = at + 1;
  }

  /** Native search for the next quote or escape behind `from`, which lies inside a string, between characters. */
  private findQuote(from: number, isKey: boolean): number {
    const { bytes } = this;
    const quote = bytes.indexOf(QUOTE, from);
    if (quote < 0) throw new ScanError("malformed");
    let first = quote;
    while (first > from && bytes[first - 1] === BACKSLASH) first--;
    if (first < quote && isKey) this.keyEscaped = true;
    // Up to the quote only: a search through all that follows, once a key, is quadratic.
    if (isKey && !this.keyEscaped) this.keyEscaped = bytes.subarray(from, quote).includes(BACKSLASH);
    return (quote - first) % 2 === 0 ? quote : quote - 1;
  }
}

function endOfLiteral(bytes: Buffer, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (
      byte === undefined ||
      byte === COMMA ||
      byte === CLOSE_BRACE ||
      byte === CLOSE_BRACKET ||
      byte === COLON ||
      byte === QUOTE ||
      byte <= 0x20
    ) {
      if (at === from) throw new ScanError("malformed");
      return at;
    }
    at++;
  }
}
