import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classifyEra, encodeWireError, META, parseMessage } from "../src/index.ts";

const modern = { [META.protocolVersion]: "2026-07-28", [META.clientCapabilities]: {} };

function classify(body: unknown, version?: string | string[]) {
  const message = body === undefined ? undefined : parseMessage(Buffer.from(JSON.stringify(body)));
  return classifyEra(version === undefined ? {} : { "mcp-protocol-version": version }, message);
}

const call = (meta?: object, extra: object = {}) => ({
  jsonrpc: "2.0",
  id: 5,
  method: "tools/call",
  params: { name: "x", ...(meta && { _meta: meta }), ...extra },
});
const initialize = (params: object) => ({ jsonrpc: "2.0", id: 5, method: "initialize", params });

describe("classifyEra", () => {
  it.each([
    ["an envelope", call(modern), "2026-07-28", { era: "modern", protocolVersion: "2026-07-28" }],
    ["an envelope without header", call(modern), undefined, { era: "modern" }],
    ["initialize with an envelope", initialize({ _meta: modern }), "2026-07-28", { era: "modern" }],
    ["a modern notification", { jsonrpc: "2.0", method: "n" }, "2026-07-28", { era: "modern" }],
    [
      "a bare initialize",
      initialize({ protocolVersion: "2025-06-18" }),
      undefined,
      { era: "legacy", protocolVersion: "2025-06-18" },
    ],
    [
      "initialize without version",
      initialize({}),
      undefined,
      { era: "legacy", protocolVersion: "2025-03-26" },
    ],
    ["a legacy header", call(), "2025-11-25", { era: "legacy", protocolVersion: "2025-11-25" }],
    ["several headers", call(), ["2025-06-18", "x"], { era: "legacy", protocolVersion: "2025-06-18" }],
    ["neither header nor envelope", call(), undefined, { era: "legacy", protocolVersion: "2025-03-26" }],
    ["a posted response", { jsonrpc: "2.0", id: 1, result: {} }, "2025-11-25", { era: "legacy" }],
    ["GET or DELETE", undefined, undefined, { era: "legacy" }],
    ["a batch of 2025-03-26", [call()], "2025-03-26", { era: "legacy", protocolVersion: "2025-03-26" }],
    ["a batch without header", [call()], undefined, { era: "legacy", protocolVersion: "2025-03-26" }],
  ])("%s → %o", (_, body, version, verdict) => {
    expect(classify(body, version)).toMatchObject(verdict);
  });

  it.each([
    ["a modern header without envelope", call(), "2026-07-28", -32602, 400],
    [
      "an envelope without capabilities",
      call({ [META.protocolVersion]: "2026-07-28" }),
      "2026-07-28",
      -32602,
      400,
    ],
    [
      "capabilities that are no object",
      call({ ...modern, [META.clientCapabilities]: 1 }),
      "2026-07-28",
      -32602,
      400,
    ],
    [
      "clientInfo without version",
      call({ ...modern, [META.clientInfo]: { name: "x" } }),
      "2026-07-28",
      -32602,
      400,
    ],
    [
      "a version that is no string",
      call({ ...modern, [META.protocolVersion]: 7 }),
      "2026-07-28",
      -32602,
      400,
    ],
    ["header ≠ body", call(modern), "2025-11-25", -32020, 400],
    ["initialize under a modern header", initialize({}), "2026-07-28", -32020, 400],
    [
      "an unknown revision in the envelope",
      call({ ...modern, [META.protocolVersion]: "1900-01-01" }),
      "1900-01-01",
      -32022,
      400,
    ],
    [
      "a legacy revision in the envelope",
      call({ ...modern, [META.protocolVersion]: "2025-11-25" }),
      undefined,
      -32022,
      400,
    ],
    ["an unknown revision on a legacy request", call(), "1900-01-01", -32600, 400],
    ["an unknown revision on GET", undefined, "nonsense", -32600, 400],
    ["GET of a modern revision", undefined, "2026-07-28", -32600, 405],
    [
      "a posted response of a modern revision",
      { jsonrpc: "2.0", id: 1, result: {} },
      "2026-07-28",
      -32600,
      400,
    ],
    ["a batch of another revision", [call()], "2025-06-18", -32600, 400],
    ["a batch with a modern request", [call(modern)], undefined, -32600, 400],
  ])("refuses %s", (_, body, version, rpcCode, httpStatus) => {
    const verdict = classify(body, version);
    if (verdict.era !== "refused") throw new Error("Expected a refusal.");
    expect(verdict.error).toMatchObject({ rpcCode, httpStatus });
    const answer = JSON.parse(encodeWireError(verdict.error)) as Record<string, unknown>;
    expect(answer).toMatchObject({ jsonrpc: "2.0", error: { code: rpcCode } });
    expect(answer).toHaveProperty("id");
  });

  it("names the supported revisions where the requested one is unknown", () => {
    const verdict = classify(call({ ...modern, [META.protocolVersion]: "2030-01-01" }));
    if (verdict.era !== "refused") throw new Error("Expected a refusal.");
    expect(verdict.error.details).toEqual({
      supported: ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
      requested: "2030-01-01",
    });
    expect(verdict.error.idText).toBe("5");
  });

  it("always reaches a verdict, and a refusal is an answer with an id", () => {
    const versions = fc.constantFrom("2026-07-28", "2025-11-25", "x", "", undefined);
    const meta = fc.dictionary(fc.constantFrom(...Object.values(META), "x"), fc.jsonValue());
    fc.assert(
      fc.property(
        versions,
        fc.constantFrom("initialize", "ping", "tools/call"),
        fc.option(fc.integer()),
        meta,
        (version, method, callId, members) => {
          const body = {
            jsonrpc: "2.0",
            ...(callId !== null && { id: callId }),
            method,
            params: { _meta: members },
          };
          const verdict = classify(body, version);
          if (verdict.era !== "refused") return;
          expect(JSON.parse(encodeWireError(verdict.error))).toMatchObject({ jsonrpc: "2.0", id: callId });
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
