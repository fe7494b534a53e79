import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkParamHeaders, encodeParamHeaders, readParamHeaders } from "../src/index.ts";

const schema = {
  type: "object",
  properties: {
    region: { type: "string", "x-mcp-header": "Region" },
    count: { type: ["integer", "null"], "x-mcp-header": "Count" },
    nested: { type: "object", properties: { on: { type: "boolean", "x-mcp-header": "On" } } },
    "x-mcp-header": { type: "string" },
    plain: { type: "string", default: { "x-mcp-header": "data" } },
  },
};

function rules() {
  const read = readParamHeaders(schema);
  if (!read.valid) throw new Error(read.problem);
  return read.headers;
}

describe("mirrored arguments", () => {
  it("are found at the properties that carry the annotation", () => {
    expect(rules()).toEqual([
      { header: "mcp-param-region", path: ["region"] },
      { header: "mcp-param-count", path: ["count"] },
      { header: "mcp-param-on", path: ["nested", "on"] },
    ]);
    expect(readParamHeaders(undefined)).toEqual({ valid: true, headers: [] });
    expect(readParamHeaders({ properties: null, type: "object" })).toEqual({ valid: true, headers: [] });
  });

  const property = (value: object) => ({ type: "object", properties: { a: value } });
  it.each([
    ["an empty name", property({ type: "string", "x-mcp-header": "" })],
    ["no token", property({ type: "string", "x-mcp-header": "a b" })],
    ["a line break", property({ type: "string", "x-mcp-header": "a\r\nb" })],
    ["no string", property({ type: "string", "x-mcp-header": 5 })],
    ["a number", property({ type: "number", "x-mcp-header": "a" })],
    ["an object", property({ type: "object", "x-mcp-header": "a" })],
    ["several types", property({ type: ["string", "integer"], "x-mcp-header": "a" })],
    ["the root", { type: "string", "x-mcp-header": "a" }],
    ["items", property({ type: "array", items: { type: "string", "x-mcp-header": "a" } })],
    ["a composition", { oneOf: [property({ type: "string", "x-mcp-header": "a" })] }],
    ["a definition", { $defs: { d: { type: "string", "x-mcp-header": "a" } } }],
    [
      "a name twice",
      {
        properties: {
          a: { type: "string", "x-mcp-header": "X" },
          b: { type: "string", "x-mcp-header": "x" },
        },
      },
    ],
  ])("are refused on %s", (_, broken) => {
    expect(readParamHeaders(broken)).toMatchObject({ valid: false, problem: expect.any(String) as string });
  });

  it("are refused in a schema without end", () => {
    let deep: object = { type: "string" };
    for (let level = 0; level < 1_000; level++) deep = { not: deep };
    expect(readParamHeaders(deep).valid).toBe(false);
  });

  it("become headers, encoded, and absent ones none", () => {
    expect(encodeParamHeaders(rules(), { region: "Zürich", count: 42, nested: { on: false } })).toEqual({
      "mcp-param-region": "=?base64?WsO8cmljaA==?=",
      "mcp-param-count": "42",
      "mcp-param-on": "false",
    });
    expect(encodeParamHeaders(rules(), { region: null, count: 2 ** 60, nested: 5 })).toEqual({});
    expect(encodeParamHeaders(rules(), undefined)).toEqual({});
  });

  it("are accepted when they agree with the body", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.maxSafeInteger(), fc.boolean(), (region, count, on) => {
        const args = { region, count, nested: { on } };
        expect(checkParamHeaders(encodeParamHeaders(rules(), args), rules(), args)).toBeUndefined();
      }),
    );
    expect(checkParamHeaders({ "mcp-param-count": "42.0" }, rules(), { count: 42 })).toBeUndefined();
    expect(checkParamHeaders({ "mcp-param-region": "left over" }, rules(), {})).toBeUndefined();
  });

  it.each([
    [{}, { region: "x" }, "missing"],
    [{ "mcp-param-region": "y" }, { region: "x" }, "does not match"],
    [{ "mcp-param-region": "=?base64?%?=" }, { region: "x" }, "base64"],
    [{ "mcp-param-count": "43" }, { count: 42 }, "does not match"],
    [{ "mcp-param-count": "" }, { count: 0 }, "does not match"],
    [{ "mcp-param-on": "1" }, { nested: { on: true } }, "does not match"],
  ])("%o against %o: %s", (headers, args, problem) => {
    expect(checkParamHeaders(headers, rules(), args)).toContain(problem);
  });
});
