/** Headers as `fetch`, undici or node:http hand them over. */
export type HeadersLike =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

/** Larger numbers are points in time. */
const EPOCH_MS = 1_000_000_000_000;

/**
 * How long the other side asks to wait, in milliseconds, or undefined.
 *
 * Understands, the first that is there: `retry-after-ms`; `Retry-After` in seconds or as an HTTP-date
 * (RFC 9110, section 10.2.3); `RateLimit-Reset` in seconds, or in epoch seconds as some send it, unless
 * `RateLimit-Remaining` says that more may come before.
 *
 * @param nowMs wall clock in epoch milliseconds.
 */
export function parseRetryAfter(headers: HeadersLike, nowMs: number = Date.now()): number | undefined {
  const ms = decimal(read(headers, "retry-after-ms"));
  if (ms >= 0) return ms;
  const after = read(headers, "retry-after");
  const seconds = decimal(after);
  if (seconds >= 0) return seconds * 1_000;
  const date = /[a-z]/i.test(after) ? Date.parse(after) : Number.NaN;
  if (!Number.isNaN(date)) return Math.max(0, date - nowMs);
  const reset = decimal(read(headers, "ratelimit-reset")) * 1_000;
  if (Number.isNaN(reset) || decimal(read(headers, "ratelimit-remaining")) > 0) return undefined;
  return reset < EPOCH_MS ? reset : Math.max(0, reset - nowMs);
}

/** Not a number when it is anything but digits. */
function decimal(text: string): number {
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
}

/** The header's first value, or nothing. */
function read(headers: HeadersLike, name: string): string {
  const value =
    typeof headers.get === "function"
      ? headers.get(name)
      : Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  return String((Array.isArray(value) ? value[0] : value) ?? "").trim();
}
