import { describe, expect, it } from "vitest";
import { keysOf, type SchemaNode, schemaAt } from "../src/config/schema-node.ts";

const root: SchemaNode = {
  type: "object",
  properties: {
    list: { type: "array", items: { properties: { name: { type: "string" } } } },
    either: { anyOf: [{ properties: { url: {} } }, { oneOf: [{ properties: { command: {}, url: {} } }] }] },
    any: { additionalProperties: { properties: { deep: {} } } },
  },
};

describe("the part of a schema at a path", () => {
  it("is found through lists, alternatives and free keys", () => {
    expect(schemaAt(root, ["list", 3, "name"])).toEqual({ type: "string" });
    expect(schemaAt(root, ["either", "command"])).toEqual({});
    expect(keysOf(schemaAt(root, ["any", "whatever"]))).toEqual(["deep"]);
    expect(schemaAt(root, [])).toBe(root);
  });

  it("is undefined where the path leads nowhere", () => {
    expect(schemaAt(root, ["lost", "deeper", "still"])).toBeUndefined();
    expect(schemaAt(root, ["list", "name"])).toBeUndefined();
    expect(schemaAt(root, ["either", "nothing"])).toBeUndefined();
    expect(keysOf(undefined)).toEqual([]);
  });

  it("names every key once, those of alternatives too", () => {
    expect(keysOf(schemaAt(root, ["either"]))).toEqual(["url", "command"]);
  });
});
