import { JsonCursor, ScanError } from "../json-cursor.ts";
import type { JsonObject } from "../message.ts";
import { type Edit, type Span, splice } from "../splice.ts";
import { UpstreamError } from "./upstream-error.ts";

/** Depth to which an answer is read; deeper ones can be relayed but not parsed. */
const MAX_ANSWER_DEPTH = 1024;

/** The upstream's JSON-RPC answer as it came, with the place of its id. */
export class UpstreamAnswer {
  /** `error`: the answer is a JSON-RPC error. */
  readonly kind: "result" | "error";
  /** The whole answer. */
  readonly bytes: Buffer;
  readonly idSpan: Span;
  /** HTTP status it came with; 200 for stdio and streams. */
  readonly httpStatus: number;
  /** How it came. */
  readonly via: "json" | "stream";
  /** Of an error: how long the upstream asks to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  #value: JsonObject | undefined;

  constructor(
    kind: "result" | "error",
    bytes: Buffer,
    idSpan: Span,
    httpStatus: number,
    via: "json" | "stream",
    retryAfterMs?: number,
  ) {
    this.kind = kind;
    this.bytes = bytes;
    this.idSpan = idSpan;
    this.httpStatus = httpStatus;
    this.via = via;
    this.retryAfterMs = retryAfterMs;
  }

  /** The answer with another id; every other byte as it came. `idText` is raw JSON. */
  withId(idText: string): Buffer {
    return splice(this.bytes, [{ ...this.idSpan, text: idText }]);
  }

  /** The answer with ranges replaced, none of them its id; the same one without edits. `edits` as for `splice`. */
  edited(edits: readonly Edit[]): UpstreamAnswer {
    if (edits.length === 0) return this;
    let shift = 0;
    for (const { start, end, text } of edits) {
      if (start >= this.idSpan.end) break;
      shift += (typeof text === "string" ? Buffer.byteLength(text) : text.length) - (end - start);
    }
    const idSpan = { start: this.idSpan.start + shift, end: this.idSpan.end + shift };
    const bytes = splice(this.bytes, edits);
    return new UpstreamAnswer(this.kind, bytes, idSpan, this.httpStatus, this.via, this.retryAfterMs);
  }

  /**
   * The answer's `result` or `error` object, parsed on first use.
   *
   * @throws {@link UpstreamError} `upstream_protocol` when the answer is not valid JSON
   */
  value(): JsonObject {
    this.#value ??= parseValue(this);
    return this.#value;
  }
}

function parseValue(answer: UpstreamAnswer): JsonObject {
  try {
    new JsonCursor(answer.bytes, 0, MAX_ANSWER_DEPTH).skipValue();
    const message = JSON.parse(answer.bytes.toString("utf8")) as JsonObject;
    const value = message[answer.kind];
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch (cause) {
    throw protocolError("The upstream's answer is not valid JSON.", answer.httpStatus, cause);
  }
  throw protocolError(`The upstream's answer has no ${answer.kind} object.`, answer.httpStatus);
}

const HEAD = Buffer.from('{"jsonrpc":"2.0","id":');
const TAIL = Buffer.from(',"id":');
const RESULT_FIRST = Buffer.from('{"result":');
const AFTER_ID_RESULT = Buffer.from(',"result":');

/** Kind and id of an answer. */
export interface LocatedAnswer {
  readonly kind: "result" | "error";
  readonly idSpan: Span;
}

/**
 * Finds an answer's id and kind without parsing it. The two orders that implementations write, id in front and
 * id at the end, are recognised at the edges of the text when the id is a number; any other text is scanned.
 *
 * @returns nothing when the bytes are no answer
 */
export function locateAnswer(bytes: Buffer): LocatedAnswer | undefined {
  const idSpan = idInFront(bytes) ?? idAtEnd(bytes);
  return idSpan ? { kind: "result", idSpan } : scanAnswer(bytes);
}

/**
 * Reads the answer to the request with the id `idText`.
 *
 * @returns nothing when the bytes are no answer to that id
 */
export function readAnswer(
  bytes: Buffer,
  idText: string,
  httpStatus: number,
  via: "json" | "stream",
  retryAfterMs?: number,
): UpstreamAnswer | undefined {
  const located = locateAnswer(bytes);
  if (
    located === undefined ||
    bytes.toString("latin1", located.idSpan.start, located.idSpan.end) !== idText
  ) {
    return undefined;
  }
  return new UpstreamAnswer(located.kind, bytes, located.idSpan, httpStatus, via, retryAfterMs);
}

/** The error that a server gave before it had read the id, as the answer to the request `idText`. */
export function errorWithoutId(
  body: Buffer,
  idText: string,
  status: number,
  retryAfterMs?: number,
): UpstreamAnswer | undefined {
  try {
    const { id, error } = JSON.parse(body.toString("utf8")) as { id?: unknown; error?: unknown };
    if ((id !== undefined && id !== null) || typeof error !== "object" || error === null) return undefined;
    const text = `{"jsonrpc":"2.0","id":${idText},"error":${JSON.stringify(error)}}`;
    return readAnswer(Buffer.from(text), idText, status, "json", retryAfterMs);
  } catch {
    return undefined;
  }
}

/** `{"jsonrpc":"2.0","id":7,"result":…`: the id's span. */
function idInFront(bytes: Buffer): Span | undefined {
  if (!startsWith(bytes, HEAD, 0)) return undefined;
  const start = HEAD.length;
  let end = start;
  while (isDigit(bytes[end])) end++;
  return end > start && startsWith(bytes, AFTER_ID_RESULT, end) ? { start, end } : undefined;
}

/**
 * `{"result":…,"id":7}`. Sound on valid JSON: a number directly before the last brace is the value of the outer
 * object's last member, and a quote directly after a comma opens a key.
 */
function idAtEnd(bytes: Buffer): Span | undefined {
  if (!startsWith(bytes, RESULT_FIRST, 0)) return undefined;
  let end = bytes.length - 1;
  while (end > 0 && (bytes[end] ?? 0) <= 0x20) end--;
  if (bytes[end] !== 0x7d) return undefined;
  let start = end;
  while (isDigit(bytes[start - 1])) start--;
  return start < end && startsWith(bytes, TAIL, start - TAIL.length) ? { start, end } : undefined;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function scanAnswer(bytes: Buffer): LocatedAnswer | undefined {
  let idSpan: Span | undefined;
  let kind: "result" | "error" | undefined;
  try {
    const cursor = new JsonCursor(bytes, 0, MAX_ANSWER_DEPTH);
    if (!cursor.enter("{")) return undefined;
    while (cursor.nextMember()) {
      const start = cursor.at;
      const isId = cursor.keyIs("id");
      if (cursor.keyIs("method")) return undefined;
      if (cursor.keyIs("result")) kind = "result";
      else if (cursor.keyIs("error")) kind ??= "error";
      cursor.skipValue();
      if (isId) idSpan = { start, end: cursor.at };
    }
  } catch (error) {
    if (error instanceof ScanError) return undefined;
    throw error;
  }
  return idSpan && kind && { kind, idSpan };
}

function startsWith(bytes: Buffer, part: Buffer, at: number): boolean {
  if (at < 0 || at + part.length > bytes.length) return false;
  for (let index = 0; index < part.length; index++) if (bytes[at + index] !== part[index]) return false;
  return true;
}

/** An answer that is not MCP. */
export function protocolError(text: string, httpStatus?: number, cause?: unknown): UpstreamError {
  return new UpstreamError("upstream_protocol", text, { phase: "response_received", httpStatus, cause });
}
