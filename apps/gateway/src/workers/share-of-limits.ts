import { parseRate } from "@gatewright/rate-limiter";

/**
 * A limiter's configuration with every rate and burst divided by the number of workers, so that all together never allow
 * more than the whole. Where clients are spread unevenly they allow less. A limit is never below 1 for a worker: one that is
 * smaller than the number of workers is exceeded, by being that number in all.
 */
export function shareOfLimits<T>(config: T, workers: number): T {
  const part = (value: number) => Math.max(1, Math.floor(value / workers));
  const divide = (value: unknown, key: string): unknown => {
    if (typeof value === "string") {
      const rate = parseRate(value);
      // The count is the first number of a rate; what it is per stays as it was written.
      return typeof rate === "string" ? value : value.replace(/\d+/, String(part(rate.limit)));
    }
    if (typeof value === "number") return key === "burst" ? part(value) : value;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, divide(inner, name)]));
  };
  return divide(config, "") as T;
}
