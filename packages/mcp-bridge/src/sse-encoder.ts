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
  return Buffer.concat([Buffer.from(`${head}data: `), data, Buffer.from("\n\n")]);
}

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
