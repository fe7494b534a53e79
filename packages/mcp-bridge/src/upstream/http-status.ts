import type { HttpAnswer } from "./http-exchange.ts";
import { UpstreamError } from "./upstream-error.ts";

type Headers = HttpAnswer["headers"];

/** One response header as text. */
export function responseHeader(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : value?.[0];
}

/** The media type without parameters, in lower case; empty when there is none. */
export function mediaType(headers: Headers): string {
  const value = responseHeader(headers, "content-type") ?? "";
  const end = value.indexOf(";");
  return (end < 0 ? value : value.slice(0, end)).trim().toLowerCase();
}

/** Larger numbers are points in time. */
const EPOCH_SECONDS = 1_000_000_000;

/**
 * How long the upstream asks to wait, in milliseconds: `retry-after-ms`, `Retry-After` in seconds or as an HTTP-date, or
 * else `RateLimit-Reset` in seconds, or in epoch seconds as some send it, unless `RateLimit-Remaining` says that more may
 * come before; `undefined` when absent or unreadable.
 *
 * @param now wall clock in milliseconds, for dates
 */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const exact = responseHeader(headers, "retry-after-ms");
  if (exact !== undefined && /^\d{1,12}$/.test(exact)) return Number(exact);
  const value = responseHeader(headers, "retry-after")?.trim() ?? "";
  if (SECONDS.test(value)) return Math.ceil(Number(value) * 1000);
  const date = /[a-z]/i.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(date)) return Math.max(0, date - now);
  const reset = responseHeader(headers, "ratelimit-reset")?.trim() ?? "";
  if (!SECONDS.test(reset)) return undefined;
  // All answers of some servers say when their window ends.
  if (Number(responseHeader(headers, "ratelimit-remaining")) > 0) return undefined;
  const seconds = Number(reset);
  return Math.max(0, Math.ceil(seconds * 1000 - (seconds < EPOCH_SECONDS ? 0 : now)));
}

const SECONDS = /^\d{1,10}(\.\d+)?$/;

/** What an HTTP status means that brought no JSON-RPC answer. */
export function statusError(answer: HttpAnswer, inSession: boolean, now = Date.now()): UpstreamError {
  const { status, headers } = answer;
  const base = { httpStatus: status, retryAfterMs: retryAfterMs(headers, now) };
  const challenge = responseHeader(headers, "www-authenticate");
  const refused = (code: ConstructorParameters<typeof UpstreamError>[0], text: string) =>
    new UpstreamError(code, `${text} (HTTP ${status}).`, { ...base, phase: "refused", challenge });
  if (status === 401) return refused("upstream_unauthorized", "The upstream refused our credentials");
  if (status === 429 || status === 503) return refused("upstream_overloaded", "The upstream is overloaded");
  if (status === 404 && inSession) return refused("session_lost", "The upstream no longer knows the session");
  const facts = { ...base, phase: "response_received", challenge } as const;
  // What came of a call may be withheld in this way, too.
  if (status === 403)
    return new UpstreamError("upstream_forbidden", "The upstream forbids this (HTTP 403).", facts);
  return new UpstreamError("upstream_status", `The upstream answered HTTP ${status}.`, {
    ...base,
    phase: "response_received",
  });
}
