/** Headers as `fetch`, undici or node:http hand them over. */
export type HeadersLike =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

const EPOCH_SECONDS = 1_000_000_000;

/**
 * How long the other side asks to wait, in milliseconds, or undefined.
 *
 * Understands, the first that is there: `retry-after-ms`; `Retry-After` in seconds or as an HTTP-date
 * (RFC 9110, section 10.2.3); `RateLimit-Reset` in seconds, or in epoch seconds as some send it.
 *
 * @param nowMs wall clock in epoch milliseconds.
 */
export function parseRetryAfter(headers: HeadersLike, nowMs: number = Date.now()): number | undefined {
  const ms = decimal(read(headers, "retry-after-ms"));
  if (ms !== undefined) return ms;
  const after = read(headers, "retry-after");
  const seconds = decimal(after);
  if (seconds !== undefined) return seconds * 1_000;
  const date = after !== undefined && /[a-z]/i.test(after) ? Date.parse(after) : Number.NaN;
  if (!Number.isNaN(date)) return Math.max(0, date - nowMs);
  const reset = decimal(read(headers, "ratelimit-reset"));
  if (reset === undefined) return undefined;
  return reset < EPOCH_SECONDS ? reset * 1_000 : Math.max(0, reset * 1_000 - nowMs);
}

function decimal(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

function read(headers: HeadersLike, name: string): string | undefined {
  if (typeof headers.get === "function") return headers.get(name)?.trim();
  const record = headers as Readonly<Record<string, string | readonly string[] | undefined>>;
  const value = record[name] ?? Object.entries(record).find(([key]) => key.toLowerCase() === name)?.[1];
  return (typeof value === "string" ? value : value?.[0])?.trim();
}
