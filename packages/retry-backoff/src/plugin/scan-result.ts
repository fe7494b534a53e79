const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;

const MAX_SCALAR = 64;
const decoder = new TextDecoder();

/** The few members of a result that decide whether it is a failure. */
export interface ScannedResult {
  isError?: unknown;
  resultType?: unknown;
  structuredContent?: { isError?: unknown; status_code?: unknown } | null;
}

/**
 * Reads `isError`, `resultType`, `structuredContent.isError` and `structuredContent.status_code` from the JSON
 * text of a result without parsing the rest. One pass over the bytes; only the two upper levels of members
 * are looked at, strings are skipped whole. Text content is not read. Malformed text yields what was found.
 */
export function scanResult(json: Uint8Array): ScannedResult {
  const found: ScannedResult = {};
  scanMembers(json, skipSpace(json, 0), (key, at) => {
    if (key === "isError" || key === "resultType") found[key] = scalar(json, at);
    if (key !== "structuredContent") return;
    if (json[at] !== OPEN_BRACE) {
      const value = scalar(json, at);
      if (value === null) found.structuredContent = null;
      else found.structuredContent = {};
      return;
    }
    const inner: { isError?: unknown; status_code?: unknown } = {};
    found.structuredContent = inner;
    scanMembers(json, at, (name, valueAt) => {
      if (name === "isError" || name === "status_code") inner[name] = scalar(json, valueAt);
    });
  });
  return found;
}

/** Calls `onMember` for each member of the object at `start` with its key and where its value begins. */
function scanMembers(
  json: Uint8Array,
  start: number,
  onMember: (key: string, valueAt: number) => void,
): void {
  if (json[start] !== OPEN_BRACE) return;
  let at = skipSpace(json, start + 1);
  while (json[at] === QUOTE) {
    const end = endOfString(json, at);
    const key = decoder.decode(json.subarray(at + 1, end - 1));
    at = skipSpace(json, end);
    if (json[at] !== COLON) return;
    const valueAt = skipSpace(json, at + 1);
    onMember(key, valueAt);
    at = skipSpace(json, endOfValue(json, valueAt));
    if (json[at] !== COMMA) return;
    at = skipSpace(json, at + 1);
  }
}

function skipSpace(json: Uint8Array, from: number): number {
  let at = from;
  while (at < json.length && (json[at] as number) <= 0x20) at++;
  return at;
}

/** Just after the closing quote of the string that opens at `from`. */
function endOfString(json: Uint8Array, from: number): number {
  let at = from + 1;
  for (;;) {
    at = json.indexOf(QUOTE, at);
    if (at < 0) return json.length;
    let slashes = 0;
    while (json[at - 1 - slashes] === BACKSLASH) slashes++;
    at++;
    if (slashes % 2 === 0) return at;
  }
}

function endOfValue(json: Uint8Array, from: number): number {
  if (json[from] === QUOTE) return endOfString(json, from);
  let depth = 0;
  for (let at = from; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) at = endOfString(json, at) - 1;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (depth === 0) return at;
      if (--depth === 0) return at + 1;
    } else if (byte === COMMA && depth === 0) return at;
  }
  return json.length;
}

function scalar(json: Uint8Array, at: number): unknown {
  const end = endOfValue(json, at);
  if (end - at > MAX_SCALAR) return undefined;
  try {
    return JSON.parse(decoder.decode(json.subarray(at, end)));
  } catch {
    return undefined;
  }
}
