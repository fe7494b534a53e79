import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBudget, decide } from "../src/index.ts";
import { GIVE_UP_REASONS, RETRY_REASONS } from "../src/plugin/index.ts";
import { context, error, failed, idempotent, readOnly, result } from "./helpers.ts";

const noJitter = { jitter: "none" } as const;

describe("signals of a result", () => {
  it("RB-2 on an idempotent tool isError with 400, 401 or 404 stays, with 503 or no status is retried", () => {
    const reasons = [400, 401, 404, 503, undefined].map((s) => decide(failed(s), context({}, idempotent)));
    expect(reasons.map((d) => d.retry)).toEqual([false, false, false, true, true]);
    expect(reasons[0]).toEqual({ retry: false, reason: "not_retryable" });
    expect(reasons[3]).toMatchObject({ reason: "is_error", attempt: 2 });
  });

  it("RB-2 on an unhinted tool the same failures are unsafe to repeat", () => {
    for (const status of [503, undefined]) {
      expect(decide(failed(status), context())).toMatchObject({ retry: false, reason: "unsafe_to_repeat" });
    }
    expect(decide(failed(404), context())).toMatchObject({ reason: "not_retryable" });
  });

  it("RB-2 preset contextforge retries them on an unhinted tool", () => {
    const preset = context({ preset: "contextforge" });
    expect([503, undefined, 404, 408].map((s) => decide(failed(s), preset).retry)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it("RB-3 structuredContent with 500 is retried, with 200 it is a success", () => {
    const on = context({}, idempotent);
    expect(decide(result({ structuredContent: { status_code: 500 } }), on)).toMatchObject({
      retry: true,
      reason: "structured_error",
    });
    expect(decide(result({ structuredContent: { status_code: 200 } }), on)).toEqual({
      retry: false,
      reason: "success",
    });
    expect(decide(result({ structuredContent: { isError: true } }), on)).toMatchObject({
      reason: "structured_error",
    });
  });

  it("RB-3 structuredContent suppresses the parsing of text", () => {
    const content = [{ type: "text", text: '{"status_code":503}' }];
    const on = context({ checkTextContent: true }, idempotent);
    expect(decide(result({ content, structuredContent: {} }), on).reason).toBe("success");
    expect(decide(result({ content, structuredContent: null }), on).reason).toBe("text_error");
  });

  it("RB-3 a status in JSON text counts only with checkTextContent", () => {
    const text = (value: string) =>
      result({ content: [{ type: "image" }, null, { type: "text", text: value }] });
    const on = context({ checkTextContent: true }, idempotent);
    expect(decide(text('{"status_code":503}'), context({}, idempotent)).reason).toBe("success");
    expect(decide(text('{"status_code":503}'), on).reason).toBe("text_error");
    expect(decide(text('{"isError":true}'), on).reason).toBe("text_error");
    for (const ignored of [
      '{"status_code":',
      "[503]",
      "503",
      '[{"status_code":503}]',
      '{"status_code":200}',
      "null",
    ]) {
      expect(decide(text(ignored), on).reason, ignored).toBe("success");
    }
    expect(decide(result({ content: "no list" }), on).reason).toBe("success");
    expect(decide(result({ content: [{ type: "text" }] }), on).reason).toBe("success");
  });

  it("the signals are looked at in order: isError, then structured content, then text", () => {
    const on = context({ checkTextContent: true }, idempotent);
    const content = [{ type: "text", text: '{"status_code":503}' }];
    const reasonOf = (value: object) => decide(result({ content, ...value }), on).reason;
    const unlisted = { isError: true, status_code: 404 };
    expect(reasonOf({ isError: true, structuredContent: unlisted })).toBe("not_retryable");
    expect(reasonOf({ isError: false, structuredContent: unlisted })).toBe("structured_error");
    expect(reasonOf({ structuredContent: { isError: false, status_code: 503 } })).toBe("structured_error");
    expect(reasonOf({ structuredContent: { isError: false, status_code: 404 } })).toBe("success");
    expect(reasonOf({ isError: true })).toBe("is_error");
    expect(reasonOf({ isError: false })).toBe("text_error");
  });

  it("takes only an integer for a status", () => {
    const on = context({}, idempotent);
    for (const status of ["503", 503.5, null, true, [503]]) {
      expect(decide(result({ structuredContent: { status_code: status } }), on).reason).toBe("success");
      const both = result({ isError: true, structuredContent: { status_code: status } });
      expect(decide(both, on).reason).toBe("is_error");
    }
    expect(decide(result({ isError: "true", structuredContent: [] }), on).reason).toBe("success");
  });

  it("an input_required result is no failure, even with isError", () => {
    const asked = { resultType: "input_required", isError: true, inputRequests: [] };
    expect(decide(result(asked), context({}, idempotent)).reason).toBe("success");
  });

  it("reads proxies, getters and frozen objects alike, and survives a getter that throws", () => {
    const plain = { isError: true, structuredContent: { status_code: 503 } };
    const proxied = new Proxy(plain, { get: (target, key) => Reflect.get(target, key) });
    const getters = Object.defineProperty({}, "isError", { get: () => true });
    const frozen = Object.freeze({ ...plain, structuredContent: Object.freeze({ status_code: 503 }) });
    for (const value of [plain, proxied, getters, frozen]) {
      expect(decide(result(value), context({}, idempotent)).reason).toBe("is_error");
    }
    const hostile = Object.defineProperty({}, "isError", {
      get() {
        throw new Error("no");
      },
    });
    expect(decide(result(hostile), context({}, idempotent)).reason).toBe("success");
  });

  it("a result that is no object is a success", () => {
    for (const value of [undefined, null, 0, "isError", true, []]) {
      expect(decide(result(value), context({}, idempotent)).reason).toBe("success");
    }
  });
});

describe("signals of an error", () => {
  const reason = (facts: Parameters<typeof error>[0]) => decide(error(facts), context({}, idempotent)).reason;

  it("HTTP statuses are retried when listed", () => {
    const listed = [408, 429, 500, 502, 503, 504].map((httpStatus) => reason({ httpStatus }));
    expect(new Set(listed)).toEqual(new Set(["http_status"]));
    const others = [400, 401, 403, 404, 405, 413, 501].map((httpStatus) => reason({ httpStatus }));
    expect(new Set(others)).toEqual(new Set(["not_retryable"]));
  });

  it("JSON-RPC internal and server errors may be retried, but never -32002, and the caller's mistakes never", () => {
    for (const rpcCode of [-32603, -32000, -32001, -32003, -32019]) {
      expect(reason({ rpcCode, phase: "response_received" }), String(rpcCode)).toBe("rpc_code");
    }
    for (const rpcCode of [-32002, -32600, -32601, -32602, -32700, -32020, -32099, -31001, -31006, 1, 0]) {
      expect(reason({ rpcCode, phase: "response_received" }), String(rpcCode)).toBe("not_retryable");
    }
  });

  it("a JSON-RPC mistake is final whatever the HTTP status, a successful HTTP status says nothing", () => {
    expect(reason({ rpcCode: -32602, httpStatus: 500 })).toBe("not_retryable");
    expect(reason({ rpcCode: -32002, httpStatus: 500 })).toBe("not_retryable");
    expect(reason({ rpcCode: -32603, httpStatus: 200 })).toBe("rpc_code");
    expect(reason({ rpcCode: -32603, httpStatus: 400 })).toBe("not_retryable");
  });

  it("network failures and timeouts are retried, certificates and local mistakes are not", () => {
    for (const networkCode of [
      "ECONNRESET",
      "EPIPE",
      "ECONNREFUSED",
      "ENOTFOUND",
      "EAI_AGAIN",
      "UND_ERR_SOCKET",
    ]) {
      expect(reason({ networkCode }), networkCode).toBe("network");
    }
    for (const networkCode of ["ETIMEDOUT", "UND_ERR_HEADERS_TIMEOUT"]) {
      expect(reason({ networkCode }), networkCode).toBe("timeout");
    }
    expect(reason({ code: "upstream_timeout" })).toBe("timeout");
    for (const networkCode of ["CERT_HAS_EXPIRED", "ENOENT", "UND_ERR_INVALID_ARG", "ERR_INVALID_ARG_TYPE"]) {
      expect(reason({ networkCode }), networkCode).toBe("not_retryable");
    }
  });

  it("without any code it counts how far the call came", () => {
    expect(reason({ phase: "not_sent" })).toBe("network");
    expect(reason({ phase: "sent_no_response" })).toBe("network");
    expect(reason({ phase: "response_received" })).toBe("not_retryable");
  });

  it("policy violations, limits and cancellations are never failures to retry, in no preset", () => {
    for (const code of [
      "plugin_blocked",
      "rate_limited",
      "cancelled",
      "aborted",
      "unauthorized",
      "forbidden",
    ]) {
      const outcome = error({ code, phase: "not_sent", httpStatus: 429 });
      expect(decide(outcome, context({}, idempotent)).reason, code).toBe("not_retryable");
      expect(decide(outcome, context({ preset: "contextforge" })).reason, code).toBe("not_retryable");
    }
  });

  it("preset contextforge retries every error without a status, and a status when listed", () => {
    const preset = context({ preset: "contextforge" });
    expect(decide(error({ rpcCode: -32602, phase: "response_received" }), preset).retry).toBe(true);
    expect(decide(error({ httpStatus: 404 }), preset).retry).toBe(false);
    expect(decide(error({ httpStatus: 502 }), preset).retry).toBe(true);
  });
});

describe("may it be repeated", () => {
  it("RB-10 an unhinted tool is not called again after a reset, and the outcome is said to be unknown", () => {
    const reset = error({ networkCode: "ECONNRESET", phase: "sent_no_response" });
    expect(decide(reset, context())).toEqual({
      retry: false,
      reason: "unsafe_to_repeat",
      failure: "network",
      outcomeUnknown: true,
    });
    expect(decide(failed(503), context())).toMatchObject({
      reason: "unsafe_to_repeat",
      outcomeUnknown: false,
    });
  });

  it("RB-10 an unhinted tool is called again after a refused connection", () => {
    const refused = error({ networkCode: "ECONNREFUSED", phase: "not_sent" });
    expect(decide(refused, context())).toMatchObject({ retry: true, reason: "network" });
  });

  it("RB-10 readOnlyHint of a server that is not trusted is ignored", () => {
    const reset = error({ networkCode: "ECONNRESET" });
    for (const annotations of [{ readOnlyHint: true }, { idempotentHint: true }]) {
      expect(decide(reset, context({}, { annotations, serverTrusted: false })).reason).toBe(
        "unsafe_to_repeat",
      );
      expect(decide(reset, context({}, { annotations })).reason).toBe("unsafe_to_repeat");
      expect(decide(reset, context({}, { annotations, serverTrusted: true })).retry).toBe(true);
    }
  });

  it("HTTP 429 and 503 were not executed, so they are repeated on any tool; 500 is not", () => {
    for (const phase of ["refused", "response_received"] as const) {
      for (const httpStatus of [429, 503])
        expect(decide(error({ httpStatus, phase }), context()).retry).toBe(true);
    }
    expect(decide(error({ httpStatus: 500, phase: "response_received" }), context()).reason).toBe(
      "unsafe_to_repeat",
    );
  });

  it("an idempotency key or an explicit override allows a repeat, a destructive hint alone does not", () => {
    const reset = error({ networkCode: "ECONNRESET" });
    expect(decide(reset, context({}, { idempotencyKey: "k" })).retry).toBe(true);
    expect(decide(reset, context({}, { idempotencyKey: "" })).retry).toBe(false);
    expect(decide(reset, context({ repeatUnsafe: true })).retry).toBe(true);
    const destructive = { annotations: { destructiveHint: false }, serverTrusted: true };
    expect(decide(reset, context({}, destructive)).retry).toBe(false);
  });
});

describe("limits of a decision", () => {
  it("gives up after maxRetries, and makes one call with 0", () => {
    const on = (attempt: number, maxRetries: number) =>
      decide(failed(), context({ maxRetries }, { ...idempotent, attempt }));
    expect([1, 2, 3].map((n) => on(n, 2).reason)).toEqual(["is_error", "is_error", "max_retries"]);
    expect(on(1, 0).reason).toBe("max_retries");
  });

  it("RB-6 waits at least as long as asked, and gives up beyond the cap", () => {
    const asked = (retryAfterMs: number, policy = {}) =>
      decide(error({ httpStatus: 429, phase: "refused", retryAfterMs }), context({ ...noJitter, ...policy }));
    expect(asked(2_000)).toMatchObject({ retry: true, delayMs: 2_000 });
    expect(asked(50)).toMatchObject({ retry: true, delayMs: 200 });
    expect(asked(3_600_000)).toMatchObject({ retry: false, reason: "retry_after_exceeds_cap" });
    expect(asked(3_600_000, { respectRetryAfter: false })).toMatchObject({ retry: true, delayMs: 200 });
  });

  it("clips the sleep to leave minAttemptMs, and gives up without that or when Retry-After forbids", () => {
    const left = (remainingMs: number, retryAfterMs?: number) =>
      decide(
        error({ httpStatus: 503, phase: "refused", ...(retryAfterMs !== undefined && { retryAfterMs }) }),
        context({ ...noJitter, minAttemptMs: 50 }, { remainingMs }),
      );
    expect(left(1_000)).toMatchObject({ delayMs: 200 });
    expect(left(150)).toMatchObject({ delayMs: 100 });
    expect(left(50).reason).toBe("deadline");
    expect(left(-1).reason).toBe("deadline");
    expect(left(1_000, 990).reason).toBe("deadline");
  });

  it("an open breaker or an aborted signal means no retry", () => {
    expect(decide(failed(), context({}, { ...idempotent, circuitOpen: true })).reason).toBe("circuit_open");
    const signal = AbortSignal.abort();
    expect(decide(failed(), context({}, { ...idempotent, signal })).reason).toBe("aborted");
    expect(decide(result({}), context({}, { signal })).reason).toBe("success");
  });

  it("asks the budget last and carries its answer", () => {
    const budget = createBudget({ ratio: 0, floorPerSecond: 1 });
    const asked = { ...idempotent, budget };
    expect(decide(failed(404), context({}, asked)).retry).toBe(false);
    expect(decide(failed(), context({ maxRetries: 0 }, asked)).retry).toBe(false);
    expect(decide(failed(), context({}, asked))).toMatchObject({
      retry: true,
      budget: { granted: true, remaining: 0 },
    });
    expect(decide(failed(), context({}, asked))).toEqual({
      retry: false,
      reason: "budget_exhausted",
      failure: "is_error",
      budget: { granted: false, remaining: 0, refusedBy: "global" },
    });
  });

  it("answers later when its budget does", async () => {
    const budget = {
      deposit() {},
      withdraw: async () => ({ granted: false, remaining: 0, refusedBy: "global" as const }),
    };
    const decision = decide(failed(), { ...context({}, idempotent), budget });
    expect(decision).toBeInstanceOf(Promise);
    expect(await decision).toMatchObject({ retry: false, reason: "budget_exhausted" });
  });

  it("for any outcome says why with a listed reason, and a delay of at least 1 when it retries", () => {
    const outcomes = fc.oneof(
      fc.record({ kind: fc.constant("result" as const), result: fc.anything() }),
      fc.record(
        {
          kind: fc.constant("error" as const),
          code: fc.string(),
          phase: fc.constantFrom("not_sent", "refused", "sent_no_response", "response_received" as const),
          httpStatus: fc.integer({ min: 100, max: 599 }),
          rpcCode: fc.integer({ min: -32_800, max: 10 }),
          networkCode: fc.constantFrom("ECONNRESET", "EPIPE", "EFOO"),
          retryAfterMs: fc.integer({ min: 0, max: 60_000 }),
        },
        { requiredKeys: ["kind", "code", "phase"] },
      ),
    );
    const hints = fc.constantFrom({}, idempotent, readOnly);
    fc.assert(
      fc.property(outcomes, hints, fc.integer({ min: 1, max: 5 }), (outcome, hint, attempt) => {
        const decision = decide(outcome as never, context({ checkTextContent: true }, { ...hint, attempt }));
        if (!("reason" in decision)) return false;
        return decision.retry
          ? decision.delayMs >= 1 &&
              RETRY_REASONS.includes(decision.reason) &&
              decision.attempt === attempt + 1
          : GIVE_UP_REASONS.includes(decision.reason);
      }),
      { numRuns: 500 },
    );
  });
});
