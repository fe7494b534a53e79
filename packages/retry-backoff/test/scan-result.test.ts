import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { scanResult } from "../src/plugin/index.ts";

const scan = (text: string) => scanResult(new TextEncoder().encode(text));

describe("scanResult", () => {
  it("finds the same members as a parser, whatever else the result holds", () => {
    const object = fc.record(
      {
        isError: fc.boolean(),
        resultType: fc.constantFrom("complete", "input_required"),
        content: fc.jsonValue(),
        'odd "key\\': fc.jsonValue(),
        structuredContent: fc.oneof(
          fc.constant(null),
          fc.record(
            { status_code: fc.integer(), isError: fc.boolean(), deep: fc.jsonValue() },
            { requiredKeys: [] },
          ),
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(object, fc.constantFrom(undefined, 2, "\t"), (value, space) => {
        const { structuredContent: structured, isError, resultType } = value;
        const found = scan(JSON.stringify(value, null, space));
        expect(found.isError).toBe(isError);
        expect(found.resultType).toBe(resultType);
        expect(found.structuredContent?.status_code).toBe(structured?.status_code);
        expect(found.structuredContent?.isError).toBe(structured?.isError);
        expect(found.structuredContent === undefined).toBe(structured === undefined);
      }),
    );
  });

  it("is not misled by the same names in strings or deeper down", () => {
    expect(scan('{"content":[{"text":"\\"isError\\":true"},{"isError":true}],"a\\\\":"}"}')).toEqual({});
    expect(scan('{"structuredContent":[1,{"isError":true}]}')).toEqual({ structuredContent: {} });
    expect(scan(`{"isError":"${"x".repeat(100)}"}`)).toEqual({ isError: undefined });
  });

  it("yields what it found in text that is not whole", () => {
    for (const text of [
      "",
      "[]",
      "null",
      "{",
      '{"isError"',
      '{"isError":true',
      '{"isError":tru}',
      '{"a":1 "isError":true}',
    ]) {
      expect(() => scan(text)).not.toThrow();
    }
    expect(scan('{"isError":true,"content":[{"text":"cut')).toEqual({ isError: true });
  });

  it("reads a result of 4 MB in a few milliseconds", () => {
    const big = new TextEncoder().encode(
      JSON.stringify({ content: [{ type: "text", text: 'ab\\"'.repeat(1e6) }], isError: true }),
    );
    const times = Array.from({ length: 5 }, () => {
      // Processor time of this thread: what else the machine does is not its own.
      const before = process.threadCpuUsage();
      expect(scanResult(big).isError).toBe(true);
      const { user, system } = process.threadCpuUsage(before);
      return (user + system) / 1_000;
    });
    expect(Math.min(...times)).toBeLessThan(500);
  });
});
