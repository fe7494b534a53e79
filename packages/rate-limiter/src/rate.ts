/** `limit` tokens per `windowMs` milliseconds. */
export interface Rate {
  readonly limit: number;
  readonly windowMs: number;
}

const UNIT_MS = new Map<string, number>([
  ["s", 1_000],
  ["sec", 1_000],
  ["second", 1_000],
  ["m", 60_000],
  ["min", 60_000],
  ["minute", 60_000],
  ["h", 3_600_000],
  ["hr", 3_600_000],
  ["hour", 3_600_000],
  ["d", 86_400_000],
  ["day", 86_400_000],
]);

/** The largest count of a rate. */
export const MAX_COUNT = 1_000_000;
/** The longest window: 31 days. Keeps count × window below 2^53, so every algorithm is exact in integers. */
export const MAX_WINDOW_MS = 31 * 86_400_000;

/**
 * Reads `count/[n]unit`, for example `10/s`, `5 / MIN`, `100/10s`. Units: s, sec, second, m, min, minute, h,
 * hr, hour, d, day, in any case; count 1 to 1 000 000; n at least 1 and at most 31 days in all.
 * Returns the rate, or a sentence that says what is wrong with the text.
 */
export function parseRate(text: string): Rate | string {
  const match = /^\s*(\d{1,9})\s*\/\s*(\d{0,9})\s*([a-z]+)\s*$/i.exec(text);
  if (!match) return `"${text.slice(0, 40)}" is not a rate; write count/[n]unit, for example 30/m or 100/10s`;
  const [, count = "", multiple = "", unit = ""] = match;
  const unitMs = UNIT_MS.get(unit.toLowerCase());
  if (unitMs === undefined) {
    return `"${unit.slice(0, 20)}" is not a unit of time; use one of ${[...UNIT_MS.keys()].join(", ")}`;
  }
  const limit = Number(count);
  if (limit < 1 || limit > MAX_COUNT) return `the count ${limit} is out of range; use 1 to ${MAX_COUNT}`;
  const windowMs = (multiple === "" ? 1 : Number(multiple)) * unitMs;
  if (windowMs < 1 || windowMs > MAX_WINDOW_MS)
    return `the window ${multiple}${unit} is out of range; use up to 31d`;
  return { limit, windowMs };
}
