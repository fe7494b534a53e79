/** One server-sent event. */
export interface SseFields {
  /** Becomes one `data:` line per line of text. */
  readonly data?: string | Uint8Array;
  readonly event?: string;
  readonly id?: string;
  /** Reconnection time in milliseconds. */
  readonly retry?: number;
}

const LINE_BREAK = /\r\n|\r|\n/;

/**
 * Encodes one event of `text/event-stream` (WHATWG HTML, "Server-sent events"). JSON without line breaks, which
 * is what MCP sends, becomes a single `data:` line without another copy of the text.
 *
 * @throws RangeError when `event` or `id` holds a line break, or `id` a NUL
 */
export function encodeSse(fields: SseFields): Buffer {
  let head = "";
  if (fields.event !== undefined) head += `event: ${oneLine(fields.event)}\n`;
  if (fields.id !== undefined) head += `id: ${oneLine(fields.id)}\n`;
  if (fields.retry !== undefined) head += `retry: ${Math.max(0, Math.trunc(fields.retry))}\n`;
  const { data } = fields;
  if (data === undefined) return Buffer.from(`${head}\n`);
  if (typeof data === "string") return Buffer.from(`${head}${dataLines(data)}\n`);
  if (data.includes(0x0a) || data.includes(0x0d)) {
    return Buffer.from(`${head}${dataLines(Buffer.from(data).toString("utf8"))}\n`);
  }
  const start = `${head}data: `;
  const at = Buffer.byteLength(start);
  const event = Buffer.allocUnsafe(at + data.length + 2);
  event.write(start);
  event.set(data, at);
  event[event.length - 2] = LINE_FEED;
  event[event.length - 1] = LINE_FEED;
  return event;
}

const LINE_FEED = 0x0a;

/** A comment line: keeps idle connections open and is ignored by every reader. */
export function encodeSseComment(text = ""): Buffer {
  return Buffer.from(`: ${oneLine(text)}\n\n`);
}

function dataLines(text: string): string {
  return text
    .split(LINE_BREAK)
    .map((line) => `data: ${line}\n`)
    .join("");
}

function oneLine(text: string): string {
  if (LINE_BREAK.test(text) || text.includes("\0")) throw new RangeError("A field of an event is one line.");
  return text;
}
