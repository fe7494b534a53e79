import type { JsonCursor } from "./json-cursor.ts";
import type { ParamsSpans } from "./message.ts";
import { META } from "./revisions.ts";
import type { Span } from "./splice.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What the byte scan finds of one message before it is parsed. */
export interface Envelope {
  id?: Span;
  method?: Span;
  params?: Span;
  result?: Span;
  error?: Span;
  jsonrpc?: Span;
  spans?: ParamsSpans;
  extras?: string;
  /** An interpreted key that came twice; `id` before any other. */
  doubled?: string;
}

const PARAMS_KEYS: ReadonlyArray<readonly [string, keyof ParamsSpans]> = [
  ["name", "name"],
  ["arguments", "arguments"],
  ["uri", "uri"],
  ["cursor", "cursor"],
  ["taskId", "taskId"],
  ["requestState", "requestState"],
  ["inputResponses", "inputResponses"],
  ["requestId", "requestId"],
  ["progressToken", "notifiedToken"],
  ["ref", "ref"],
  ["notifications", "notifications"],
];

const META_KEYS: ReadonlyArray<readonly [string, keyof ParamsSpans]> = [
  ["progressToken", "progressToken"],
  [META.protocolVersion, "protocolVersion"],
  [META.clientInfo, "clientInfo"],
  [META.clientCapabilities, "clientCapabilities"],
  [META.logLevel, "logLevel"],
  [META.subscriptionId, "subscriptionId"],
];

/** Walks one message and notes the spans of its interpreted members in `found` as it meets them. */
export function scanEnvelope(cursor: JsonCursor, found: Envelope): void {
  if (!cursor.enter("{")) {
    cursor.skipValue();
    return;
  }
  while (cursor.nextMember()) {
    const { keyStart } = cursor;
    const start = cursor.at;
    const key = topLevelKey(cursor);
    if (key === undefined) {
      cursor.skipValue();
      const member = cursor.bytes.toString("utf8", keyStart - 1, cursor.at);
      found.extras = found.extras === undefined ? member : `${found.extras},${member}`;
      continue;
    }
    if (key === "params") scanParams(cursor, found);
    else cursor.skipValue();
    if (found[key] !== undefined) found.doubled = found.doubled === "id" ? "id" : key;
    found[key] = { start, end: cursor.at };
  }
}

function topLevelKey(cursor: JsonCursor) {
  if (cursor.keyIs("jsonrpc")) return "jsonrpc";
  if (cursor.keyIs("id")) return "id";
  if (cursor.keyIs("method")) return "method";
  if (cursor.keyIs("params")) return "params";
  if (cursor.keyIs("result")) return "result";
  if (cursor.keyIs("error")) return "error";
  return undefined;
}

/** Walks a `params` value: spans of its interpreted members and of those of `_meta`. */
export function scanParams(cursor: JsonCursor, found: Envelope): void {
  if (!cursor.enter("{")) {
    cursor.skipValue();
    return;
  }
  const spans: Mutable<ParamsSpans> = {};
  while (cursor.nextMember()) {
    if (cursor.keyIs("_meta")) {
      const start = cursor.at;
      if (cursor.enter("{")) while (cursor.nextMember()) note(cursor, META_KEYS, spans, found);
      else cursor.skipValue();
      if (spans.meta !== undefined) found.doubled ??= "params._meta";
      spans.meta = { start, end: cursor.at };
    } else note(cursor, PARAMS_KEYS, spans, found);
  }
  found.spans = spans;
}

function note(
  cursor: JsonCursor,
  keys: ReadonlyArray<readonly [string, keyof ParamsSpans]>,
  spans: Mutable<ParamsSpans>,
  found: Envelope,
): void {
  const start = cursor.at;
  for (const [key, field] of keys) {
    if (!cursor.keyIs(key)) continue;
    cursor.skipValue();
    if (spans[field] !== undefined) found.doubled ??= key;
    spans[field] = { start, end: cursor.at };
    return;
  }
  cursor.skipValue();
}
