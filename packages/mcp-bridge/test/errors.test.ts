import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  ERROR_SURFACES,
  encodeErrorBody,
  encodeResultBody,
  encodeWireError,
  mcpHttpStatus,
  negotiateLegacy,
  OptionsError,
  RPC,
  WireError,
} from "../src/index.ts";
import { parseOptions } from "../src/parse-options.ts";
import { createHttpUpstream, createStdioUpstream, UpstreamError } from "../src/upstream/index.ts";

describe("errors", () => {
  it("bodies always have jsonrpc and id", () => {
    expect(JSON.parse(encodeErrorBody({ idText: "null", code: -31001, message: 'a "b"' }))).toEqual({
      jsonrpc: "2.0",
      id: null,
      error: { code: -31001, message: 'a "b"' },
    });
    expect(
      JSON.parse(encodeErrorBody({ idText: '"x"', code: 1, message: "m", data: { a: 1 } })),
    ).toMatchObject({
      id: "x",
      error: { data: { a: 1 } },
    });
    expect(JSON.parse(encodeResultBody("1", '{"a":1}'))).toEqual({ jsonrpc: "2.0", id: 1, result: { a: 1 } });
    expect(JSON.parse(encodeWireError(new WireError("parse_error", "no")))).toMatchObject({
      id: null,
      error: { code: RPC.parseError },
    });
  });

  it("our numbers lie outside the reserved range, but for those JSON-RPC defines", () => {
    for (const [code, { rpcCode }] of Object.entries(ERROR_SURFACES)) {
      const reserved = rpcCode >= -32768 && rpcCode <= -32000;
      if (reserved) expect([RPC.internalError, RPC.invalidParams], code).toContain(rpcCode);
    }
    expect(ERROR_SURFACES.rate_limited).toEqual({ httpStatus: 429, rpcCode: -31001, retryable: true });
    expect(ERROR_SURFACES.outcome_unknown).toMatchObject({ httpStatus: 502, rpcCode: -31004 });
  });

  it("MCP routes keep the statuses that clients act on", () => {
    expect([400, 401, 403, 404, 405, 413, 429, 503].map(mcpHttpStatus)).toEqual([
      400, 401, 403, 404, 405, 413, 429, 503,
    ]);
    expect([200, 409, 422, 500, 502, 504].map(mcpHttpStatus)).toEqual([200, 200, 200, 200, 200, 200]);
  });

  it("are told by their brand, not by their class", () => {
    const foreign = { [Symbol.for("@gatewright/mcp-bridge/upstream-error")]: true };
    expect(UpstreamError.is(foreign)).toBe(true);
    expect(UpstreamError.is(new Error("x"))).toBe(false);
    expect(WireError.is(null)).toBe(false);
    const cause = new Error("c");
    expect(new WireError("too_deep", "x", { cause }).cause).toBe(cause);
    expect(new UpstreamError("aborted", "x", { phase: "not_sent", cause }).cause).toBe(cause);
  });

  it("negotiate a legacy revision as the handshake says", () => {
    expect(negotiateLegacy("2025-03-26")).toBe("2025-03-26");
    expect(negotiateLegacy("2099-01-01")).toBe("2025-11-25");
    expect(negotiateLegacy(undefined)).toBe("2025-11-25");
  });
});

describe("options", () => {
  const failure = (run: () => unknown) => {
    try {
      run();
    } catch (error) {
      return error as OptionsError;
    }
    throw new Error("Nothing was thrown.");
  };

  it("name an unknown key and the nearest known one", () => {
    const error = failure(() => createHttpUpstream({ url: "http://x", requestTimeoutMS: 1 } as never));
    expect(error).toBeInstanceOf(OptionsError);
    expect(error.message).toContain("requestTimeoutMS");
    expect(error.details).toEqual({ path: "requestTimeoutMS", suggestion: "requestTimeoutMs" });
    expect(failure(() => createStdioUpstream({ command: "x", zzzzzzzz: 1 } as never)).details).toEqual({
      path: "zzzzzzzz",
    });
  });

  it("name the path of a wrong value", () => {
    expect(failure(() => createHttpUpstream({ url: "ftp://x" })).details.path).toBe("url");
    expect(failure(() => createStdioUpstream({ command: "" })).details.path).toBe("command");
    const nested = z.strictObject({ a: z.strictObject({ b: z.number() }) });
    expect(failure(() => parseOptions(nested, { a: { c: 1, b: 1 } })).details.path).toBe("a.c");
  });
});
