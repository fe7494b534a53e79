import type { ServerResponse } from "node:http";
import { createFaultPlan, FAULTS, type Fault } from "./fault-plan.ts";
import type { Era, ListenOptions } from "./fixture.ts";
import { callKey, createFlakyTools } from "./flaky-tools.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import { type RawFixture, startRawHttp } from "./raw-http.ts";

/** How often and how a flaky server fails. */
export interface FlakyServerOptions extends ListenOptions {
  /** Default `dual`. */
  readonly era?: Era;
  /** Share of `tools/call` attempts that fail, 0…1; default 0.1. Other requests never fail. */
  readonly share?: number;
  /** The faults to choose from, evenly; default all. */
  readonly faults?: readonly Fault[];
  /** Default 1. */
  readonly seed?: number;
  /** What `Retry-After` says, in whole seconds; default 1. */
  readonly retryAfterSeconds?: number;
  /** Answer a repeated idempotency key from memory; default false. */
  readonly honourIdempotencyKeys?: boolean;
}

/** A flaky server, with what it was asked, what it did to its callers, and what it really executed. */
export interface FlakyFixture extends RawFixture {
  readonly ledger: Ledger;
  /** Attempts seen and how many of them met which fault. */
  attempts(): { readonly total: number; readonly faults: Readonly<Record<Fault, number>> };
  /** Attempts seen of the call of that key. */
  attemptsOf(key: string): number;
  /** Changes the share of failing attempts from now on. */
  setShare(share: number): void;
}

/**
 * An MCP server that fails on purpose, repeatably: an attempt's fate depends on the seed, the call's argument `key`
 * and the number of the attempt. Tools: `read` (readOnlyHint), `put` (idempotentHint), `remove` (idempotentHint,
 * destructiveHint) and `write` (no hints), each with the argument `key`.
 */
export async function startFlakyServer(options: FlakyServerOptions = {}): Promise<FlakyFixture> {
  const { era = "dual", share = 0.1, faults = FAULTS, seed = 1, retryAfterSeconds = 1 } = options;
  const ledger = createLedger();
  const attemptsByKey = new Map<string, number>();
  const met = Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<Fault, number>;
  let plan = createFaultPlan(seed, share, faults);
  let total = 0;

  const reset = (response: ServerResponse): void => {
    response.socket?.resetAndDestroy();
  };
  const refuse = (response: ServerResponse, headers: Record<string, string>): void => {
    response.writeHead(503, { "content-type": "text/plain", ...headers }).end("unavailable");
  };
  const fail = (fault: Fault, response: ServerResponse, execute: () => unknown): void => {
    switch (fault) {
      case "reset_before_execution":
        reset(response);
        break;
      case "reset_after_execution":
        execute();
        reset(response);
        break;
      case "unavailable":
        refuse(response, {});
        break;
      case "unavailable_retry_after":
        refuse(response, { "retry-after": String(retryAfterSeconds) });
        break;
      case "hang_after_execution":
        execute();
        break;
      case "hang":
        break;
    }
  };

  const attempts = () => ({ total, faults: { ...met } });
  const server = await startRawHttp({
    ...options,
    era,
    answerAs: "json",
    toolset: createFlakyTools(ledger, options.honourIdempotencyKeys ?? false),
    report: () => ({
      attempts: attempts(),
      executions: ledger.entries().length,
      duplicates: ledger.duplicates(),
    }),
    intercept(message, response, execute) {
      const key = callKey(message);
      const attempt = (attemptsByKey.get(key) ?? 0) + 1;
      attemptsByKey.set(key, attempt);
      total += 1;
      const fault = plan.faultOf(key, attempt);
      if (fault === undefined) {
        execute()();
        return;
      }
      met[fault] += 1;
      fail(fault, response, execute);
    },
  });
  return {
    ...server,
    ledger,
    attempts,
    attemptsOf: (key) => attemptsByKey.get(key) ?? 0,
    setShare: (next) => {
      plan = createFaultPlan(seed, next, faults);
    },
  };
}
