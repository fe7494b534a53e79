import { JsonCursor, ScanError } from "../json-cursor.ts";
import type { JsonObject } from "../message.ts";
import { type Span, splice } from "../splice.ts";
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
  #value: JsonObject | undefined;

  constructor(
    kind: "result" | "error",
    bytes: Buffer,
    idSpan: Span,
    httpStatus: number,
    via: "json" | "stream",
  ) {
    this.kind = kind;
    this.bytes = bytes;
    this.idSpan = idSpan;
    this.httpStatus = httpStatus;
    this.via = via;
  }

  /** The answer with another id; every other byte as it came. `idText` is raw JSON. */
  withId(idText: string): Buffer {
    return splice(this.bytes, [{ ...this.idSpan, text: idText }]);
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

/**
 * Finds an answer's id and kind. The two orders that implementations write, id in front and id at the end, are
 * recognised at the edges of the text; any other is scanned.
 *
 * @param idText raw text of the id that was sent
 * @returns nothing when the bytes are no answer to that id
 */
export function readAnswer(
  bytes: Buffer,
  idText: string,
  httpStatus: number,
  via: "json" | "stream",
): UpstreamAnswer | undefined {
  const front = idInFront(bytes, idText);
  if (front !== undefined) return new UpstreamAnswer("result", bytes, front, httpStatus, via);
  const end = idAtEnd(bytes, idText);
  if (end !== undefined) return new UpstreamAnswer("result", bytes, end, httpStatus, via);
  return scanAnswer(bytes, idText, httpStatus, via);
}

/** `{"jsonrpc":"2.0","id":7,"result":…`: the id's span. */
function idInFront(bytes: Buffer, idText: string): Span | undefined {
  const start = HEAD.length;
  const end = start + idText.length;
  if (!startsWith(bytes, HEAD, 0) || !isText(bytes, idText, start)) return undefined;
  return startsWith(bytes, AFTER_ID_RESULT, end) ? { start, end } : undefined;
}

/**
 * `{"result":…,"id":7}`. Sound on valid JSON: a number directly before the last brace is the value of the outer
 * object's last member, and a quote directly after a comma opens a key.
 */
function idAtEnd(bytes: Buffer, idText: string): Span | undefined {
  if (!startsWith(bytes, RESULT_FIRST, 0)) return undefined;
  let last = bytes.length - 1;
  while (last > 0 && (bytes[last] ?? 0) <= 0x20) last--;
  const start = last - idText.length;
  if (bytes[last] !== 0x7d || start < TAIL.length) return undefined;
  if (!isText(bytes, idText, start) || !startsWith(bytes, TAIL, start - TAIL.length)) return undefined;
  return { start, end: last };
}

function scanAnswer(bytes: Buffer, idText: string, httpStatus: number, via: "json" | "stream") {
  let id: Span | undefined;
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
      if (isId) id = { start, end: cursor.at };
    }
  } catch (error) {
    if (error instanceof ScanError) return undefined;
    throw error;
  }
  if (id === undefined || kind === undefined) return undefined;
  if (id.end - id.start !== idText.length || !isText(bytes, idText, id.start)) return undefined;
  return new UpstreamAnswer(kind, bytes, id, httpStatus, via);
}

function startsWith(bytes: Buffer, part: Buffer, at: number): boolean {
  if (at + part.length > bytes.length) return false;
  for (let index = 0; index < part.length; index++) if (bytes[at + index] !== part[index]) return false;
  return true;
}

function isText(bytes: Buffer, text: string, at: number): boolean {
  for (let index = 0; index < text.length; index++) {
    if (bytes[at + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

/** An answer that is not MCP. */
export function protocolError(text: string, httpStatus?: number, cause?: unknown): UpstreamError {
  return new UpstreamError("upstream_protocol", text, { phase: "response_received", httpStatus, cause });
}
