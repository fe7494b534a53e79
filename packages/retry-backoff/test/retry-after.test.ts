import { describe, expect, it } from "vitest";
import { parseRetryAfter } from "../src/plugin/index.ts";

const NOW = Date.UTC(2026, 0, 1);

describe("parseRetryAfter", () => {
  it.each([
    [{ "retry-after": "2" }, 2_000],
    [{ "Retry-After": " 0.5 " }, 500],
    [{ "RETRY-AFTER": ["3", "9"] }, 3_000],
    [{ "retry-after-ms": "150", "retry-after": "9" }, 150],
    [{ "retry-after": new Date(NOW + 4_000).toUTCString() }, 4_000],
    [{ "retry-after": new Date(NOW - 4_000).toUTCString() }, 0],
    [{ "ratelimit-reset": "7" }, 7_000],
    [{ "RateLimit-Reset": String(NOW / 1_000 + 8) }, 8_000],
    [{ "retry-after": "soon", "ratelimit-reset": "1" }, 1_000],
    [{ "ratelimit-reset": "7", "ratelimit-remaining": "0" }, 7_000],
    [{ "RateLimit-Reset": "7", "RateLimit-Remaining": "some" }, 7_000],
    [{ "RateLimit-Reset": "7", "RateLimit-Remaining": "99" }, undefined],
    [{ "retry-after": "2", "ratelimit-reset": "7", "ratelimit-remaining": "99" }, 2_000],
    [{ "retry-after": "-5" }, undefined],
    [{ "retry-after": "" }, undefined],
    [{ "x-other": "1" }, undefined],
    [{}, undefined],
  ] as const)("RB-6 reads %j", (headers, expected) => {
    expect(parseRetryAfter(headers, NOW)).toBe(expected);
    const entries = Object.entries(headers as Record<string, string | string[]>);
    const fetched = new Headers(
      entries.map(([name, value]) => [name, Array.isArray(value) ? (value[0] ?? "") : value]),
    );
    expect(parseRetryAfter(fetched, NOW)).toBe(expected);
  });

  it("reads the wall clock by default", () => {
    const asked = parseRetryAfter({ "retry-after": new Date(Date.now() + 10_000).toUTCString() });
    expect(asked).toBeGreaterThan(5_000);
    expect(asked).toBeLessThanOrEqual(10_000);
  });
});
