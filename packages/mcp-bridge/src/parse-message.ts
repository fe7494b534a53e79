import { isUtf8 } from "node:buffer";
import { WireError } from "./errors.ts";
import { JsonCursor, ScanError } from "./json-cursor.ts";
import type { JsonObject, Message, SingleMessage } from "./message.ts";
import { type Envelope, scanEnvelope } from "./scan-envelope.ts";
import { textOf } from "./splice.ts";

/** Limits of {@link parseMessage}. */
export interface ParseLimits {
  /** Deepest nesting of objects and arrays, the message itself counted. Default 256. */
  readonly maxDepth?: number;
  /** Longest body in bytes. Default 4 MiB. */
  readonly maxBytes?: number;
  /** Most messages in a batch. Default 100. */
  readonly maxBatch?: number;
}

/**
 * Reads one JSON-RPC body.
 *
 * Depth is counted on the bytes first (a parser or serialiser may recurse), then the body is parsed once. The
 * message keeps its bytes and the spans of what a gateway rewrites, so that everything else goes on as it came.
 * A field that the gateway acts on may appear once; doubled it is refused, because two readers would
 * disagree about its value. Doubled keys elsewhere are forwarded untouched.
 *
 * @throws {@link WireError} and nothing else
 */
export function parseMessage(bytes: Buffer, limits: ParseLimits = {}): Message {
  const { maxDepth = 256, maxBytes = 4 * 1024 * 1024, maxBatch = 100 } = limits;
  if (bytes.length > maxBytes) throw new WireError("too_large", `The body is longer than ${maxBytes} bytes.`);
  const cursor = new JsonCursor(bytes, 0, maxDepth);
  if (cursor.peek() === 0x5b) return parseBatch(bytes, cursor, maxBatch);
  const envelope: Envelope = {};
  try {
    scanEnvelope(cursor, envelope);
  } catch (error) {
    throw scanFailure(error, cursor, envelope);
  }
  return build(bytes, envelope, parseJson(bytes, envelope));
}

function parseBatch(bytes: Buffer, cursor: JsonCursor, maxBatch: number): Message {
  const parts: { readonly bytes: Buffer; readonly envelope: Envelope }[] = [];
  try {
    cursor.enter("[");
    while (cursor.nextElement()) {
      if (parts.length >= maxBatch)
        throw new WireError("invalid_request", `A batch may hold ${maxBatch} messages.`);
      const start = cursor.at;
      cursor.skipValue();
      // Each message has bytes of its own, so that it goes on as if it had come alone.
      const part = { bytes: bytes.subarray(start, cursor.at), envelope: {} };
      scanEnvelope(new JsonCursor(part.bytes, 0, cursor.maxDepth), part.envelope);
      parts.push(part);
    }
  } catch (error) {
    throw scanFailure(error, cursor, {});
  }
  const values = parseJson(bytes, {}) as readonly unknown[];
  if (values.length === 0) throw new WireError("invalid_request", "A batch must hold at least one message.");
  const messages = parts.map((part, index) => build(part.bytes, part.envelope, values[index]));
  return { kind: "batch", bytes, messages };
}

function scanFailure(error: unknown, { bytes, maxDepth }: JsonCursor, envelope: Envelope): unknown {
  if (!(error instanceof ScanError)) return error;
  if (error.reason === "malformed") return new WireError("parse_error", "The body is not valid JSON.");
  return new WireError("too_deep", `The body nests deeper than ${maxDepth} levels.`, {
    idText: idTextOf(bytes, envelope),
  });
}

function parseJson(bytes: Buffer, envelope: Envelope): unknown {
  if (!isUtf8(bytes)) throw new WireError("parse_error", "The body is not valid UTF-8.");
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new WireError("parse_error", "The body is not valid JSON.", { idText: idTextOf(bytes, envelope) });
  }
}

/** The id as it came, when it is one that an answer may carry. */
function idTextOf(bytes: Buffer, envelope: Envelope): string {
  if (!envelope.id || envelope.doubled === "id") return "null";
  const text = textOf(bytes, envelope.id);
  try {
    return isId(JSON.parse(text)) ? text : "null";
  } catch {
    return "null";
  }
}

function isId(value: unknown): value is string | number {
  return typeof value === "string" || Number.isInteger(value);
}

function build(bytes: Buffer, envelope: Envelope, value: unknown): SingleMessage {
  const refuse = (text: string) =>
    new WireError("invalid_request", text, { idText: idTextOf(bytes, envelope) });
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refuse("A JSON-RPC message is a JSON object.");
  }
  const body = value as JsonObject;
  if (envelope.doubled !== undefined) throw refuse(`The member ${envelope.doubled} appears twice.`);
  if (body["jsonrpc"] !== "2.0") throw refuse('The member jsonrpc must be "2.0".');
  const { id, method, params } = envelope;
  if (method === undefined) return buildResponse(bytes, envelope, body, refuse);
  if (envelope.result !== undefined || envelope.error !== undefined) {
    throw refuse("A message is a request or a response, not both.");
  }
  if (typeof body["method"] !== "string") throw refuse("The member method must be a string.");
  const paramsValue = body["params"];
  if (params !== undefined && !isObject(paramsValue)) throw refuse("The member params must be an object.");
  const name = body["method"];
  const spans = envelope.spans ?? NO_SPANS;
  if (id === undefined) {
    const head = { kind: "notification", bytes, method: name, methodSpan: method, spans } as const;
    return withRest(head, paramsValue as JsonObject, envelope);
  }
  const idValue = body["id"];
  if (!isId(idValue)) throw refuse("The member id must be a string or an integer.");
  const head = {
    kind: "request",
    id: idValue,
    idSpan: id,
    bytes,
    method: name,
    methodSpan: method,
    spans,
  } as const;
  return withRest(head, paramsValue as JsonObject, envelope);
}

/** Adds what a message may lack. By cases: spreads of conditions cost as much as all the rest of a message. */
function withRest<T extends object>(head: T, params: JsonObject, { params: paramsSpan, extras }: Envelope) {
  if (paramsSpan === undefined) return extras === undefined ? head : { ...head, extras };
  return extras === undefined ? { ...head, params, paramsSpan } : { ...head, params, paramsSpan, extras };
}

const NO_SPANS = {};

function buildResponse(
  bytes: Buffer,
  envelope: Envelope,
  body: JsonObject,
  refuse: (text: string) => WireError,
): SingleMessage {
  const { id, result, error } = envelope;
  const valueSpan = result ?? error;
  if (valueSpan === undefined) throw refuse("A message needs a method, a result or an error.");
  if (result && error) throw refuse("A response holds a result or an error, not both.");
  const idValue = body["id"];
  if (id === undefined || !isId(idValue)) throw refuse("A response needs the id of its request.");
  const outcome = result ? "result" : "error";
  return { kind: "response", bytes, id: idValue, idSpan: id, outcome, value: body[outcome], valueSpan };
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
