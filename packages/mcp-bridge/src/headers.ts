/** Incoming HTTP headers as node:http gives them: names in lower case. */
export type IncomingHeaders = { readonly [name: string]: string | readonly string[] | undefined };

/** One header's value without the white space around it; the first of several. */
export function headerOf(headers: IncomingHeaders, name: string): string | undefined {
  const value = headers[name];
  const first = typeof value === "string" ? value : value?.[0];
  return first?.trim();
}

const SENTINEL = "=?base64?";
const SENTINEL_END = "?=";
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * A value in the form that `Mcp-Name` and `Mcp-Param-*` carry: as it is when it is plain ASCII without outer white
 * space, else `=?base64?…?=` of its UTF-8 (2026-07-28, "Value Encoding").
 */
export function encodeHeaderValue(value: string): string {
  return needsEncoding(value) ? `${SENTINEL}${Buffer.from(value).toString("base64")}${SENTINEL_END}` : value;
}

/** The reverse of {@link encodeHeaderValue}; `undefined` when the base64 form is broken. */
export function decodeHeaderValue(value: string): string | undefined {
  if (!value.startsWith(SENTINEL) || !value.endsWith(SENTINEL_END)) return value;
  const encoded = value.slice(SENTINEL.length, -SENTINEL_END.length);
  if (!BASE64.test(encoded)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(encoded, "base64"));
  } catch {
    return undefined;
  }
}

function needsEncoding(value: string): boolean {
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if (code > 0x7e || (code < 0x20 && code !== 0x09)) return true;
  }
  if (value.startsWith(SENTINEL) && value.endsWith(SENTINEL_END)) return true;
  return value !== value.trim();
}
