import { describe, expect, it } from "vitest";
import { classifyError } from "../src/plugin/index.ts";

const named = (name: string) => Object.assign(new Error("x"), { name });

describe("classifyError", () => {
  it.each([
    [{ status: 503 }, { httpStatus: 503, phase: "response_received" }],
    [
      { statusCode: 429, headers: { "retry-after": "1" } },
      { httpStatus: 429, retryAfterMs: 1_000 },
    ],
    [
      { response: { status: 502, headers: new Headers({ "retry-after-ms": "5" }) } },
      { httpStatus: 502, retryAfterMs: 5 },
    ],
    [
      { httpStatus: 500, retryAfterMs: 30 },
      { httpStatus: 500, retryAfterMs: 30 },
    ],
    [{ code: -32603 }, { rpcCode: -32603, phase: "response_received" }],
    [
      { rpcCode: -32001, code: "upstream_error" },
      { rpcCode: -32001, code: "upstream_error" },
    ],
    [{ code: "ECONNRESET" }, { networkCode: "ECONNRESET", phase: "sent_no_response" }],
    [{ code: "ECONNREFUSED" }, { networkCode: "ECONNREFUSED", phase: "not_sent" }],
    [
      { cause: { code: "UND_ERR_CONNECT_TIMEOUT" } },
      { networkCode: "UND_ERR_CONNECT_TIMEOUT", phase: "not_sent" },
    ],
    [
      { code: "EHOSTUNREACH", syscall: "connect" },
      { networkCode: "EHOSTUNREACH", phase: "not_sent" },
    ],
    [
      { cause: { code: "ENETUNREACH", errors: [{ syscall: "connect" }] } },
      { networkCode: "ENETUNREACH", phase: "not_sent" },
    ],
    // A connection that was in use ends with the same codes, and then the call may have been executed.
    [
      { code: "EHOSTUNREACH", syscall: "read" },
      { networkCode: "EHOSTUNREACH", phase: "sent_no_response" },
    ],
    [
      { cause: { code: "EHOSTDOWN", syscall: "write" } },
      { networkCode: "EHOSTDOWN", phase: "sent_no_response" },
    ],
    [{ networkCode: "ENETUNREACH" }, { phase: "sent_no_response" }],
    [
      { networkCode: "EPIPE", phase: "not_sent", code: "upstream_unreachable" },
      { networkCode: "EPIPE", phase: "not_sent" },
    ],
    [{ phase: "nonsense" }, { code: "exception", phase: "response_received" }],
    [named("AbortError"), { code: "aborted" }],
    [named("TimeoutError"), { code: "timeout", phase: "sent_no_response" }],
    [
      new DOMException("too late", "TimeoutError"),
      { code: "timeout", phase: "sent_no_response", rpcCode: undefined },
    ],
    [new DOMException("x", "NetworkError"), { code: "exception", rpcCode: undefined }],
    [new Error("plain"), { code: "exception", phase: "response_received" }],
    [new TypeError("bug"), { code: "program_error" }],
    ["a string", { code: "exception" }],
    [null, { code: "exception" }],
    [undefined, { code: "exception" }],
  ])("reads %o", (thrown, expected) => {
    expect(classifyError(thrown)).toMatchObject({ kind: "error", ...expected });
  });

  it("survives a getter that throws", () => {
    const hostile = Object.defineProperty({}, "status", {
      get() {
        throw new Error("no");
      },
    });
    expect(classifyError(hostile)).toMatchObject({ code: "exception" });
  });
});
