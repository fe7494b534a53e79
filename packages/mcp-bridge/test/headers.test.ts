import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkHeaders,
  decodeHeaderValue,
  encodeHeaderValue,
  mirroredMember,
  parseMessage,
} from "../src/index.ts";

function check(method: string, params: object, headers: Record<string, string>) {
  const message = parseMessage(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: "i", method, params })));
  if (message.kind !== "request") throw new Error("Expected a request.");
  return checkHeaders(headers, message);
}

const version = { "mcp-protocol-version": "2026-07-28" };

describe("checkHeaders", () => {
  it.each([
    ["tools/call", { name: "x" }, { "mcp-name": "x" }],
    ["tools/call", { name: "Wetter é" }, { "mcp-name": "=?base64?V2V0dGVyIMOp?=" }],
    ["resources/read", { uri: "file:///a" }, { "mcp-name": " file:///a " }],
    ["prompts/get", { name: "p" }, { "mcp-name": "p" }],
    ["tasks/get", { taskId: "t" }, { "mcp-name": "t" }],
    ["tools/list", {}, {}],
    ["tools/call", { name: 5 }, {}],
    ["constructor", {}, {}],
  ])("accepts %s %o with %o", (method, params, headers) => {
    expect(check(method, params, { ...version, "mcp-method": method, ...headers })).toBeUndefined();
  });

  it.each([
    ["tools/list", {}, { "mcp-method": "tools/list" }, "MCP-Protocol-Version"],
    ["tools/list", {}, version, "Mcp-Method"],
    ["tools/list", {}, { ...version, "mcp-method": "tools/call" }, "Mcp-Method"],
    ["tools/list", {}, { ...version, "mcp-method": "Tools/List" }, "Mcp-Method"],
    ["tools/call", { name: "x" }, { ...version, "mcp-method": "tools/call" }, "Mcp-Name"],
    ["tools/call", { name: "x" }, { ...version, "mcp-method": "tools/call", "mcp-name": "y" }, "Mcp-Name"],
    [
      "tools/call",
      { name: "x" },
      { ...version, "mcp-method": "tools/call", "mcp-name": "=?base64?%%?=" },
      "Mcp-Name",
    ],
    [
      "tools/call",
      { name: "x" },
      { ...version, "mcp-method": "tools/call", "mcp-name": "=?base64?/w==?=" },
      "Mcp-Name",
    ],
  ])("refuses %s %o with %o", (method, params, headers, header) => {
    const error = check(method, params, headers);
    expect(error).toMatchObject({ rpcCode: -32020, httpStatus: 400, idText: '"i"', details: { header } });
  });
});

describe("header values", () => {
  it.each([
    ["us-west1", "us-west1"],
    ["Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="],
    [" padded ", "=?base64?IHBhZGRlZCA=?="],
    ["line1\nline2", "=?base64?bGluZTEKbGluZTI=?="],
    ["=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="],
  ])("encodes %j as %s, as the specification's examples do", (plain, encoded) => {
    expect(encodeHeaderValue(plain)).toBe(encoded);
    expect(decodeHeaderValue(encoded)).toBe(plain);
  });

  it("decodes whatever it encoded, and encodes only printable ASCII", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (value) => {
        const encoded = encodeHeaderValue(value);
        expect(encoded).toMatch(/^[\t\x20-\x7e]*$/);
        expect(decodeHeaderValue(encoded)).toBe(value);
      }),
    );
  });

  it("knows which member each method mirrors", () => {
    expect(mirroredMember("resources/read")).toBe("uri");
    expect(mirroredMember("toString")).toBeUndefined();
  });
});
