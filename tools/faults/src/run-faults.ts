import { type Fault, startFlakyServer } from "@gatewright/mcp-fixtures";
import { type Gateway, startGateway } from "@gatewright/testkit";
import { planCalls } from "./call-plan.ts";
import { inParallel } from "./in-parallel.ts";
import { type CallReport, makeCall } from "./make-call.ts";

/** One run of calls against a server that fails on purpose. */
export interface FaultsOptions {
  readonly calls: number;
  /** Share of the attempts that fail, 0…1. */
  readonly share: number;
  readonly concurrency: number;
  readonly seed: number;
  /** After how long the gateway takes an attempt for lost; default 1 000. */
  readonly attemptTimeoutMs?: number;
  /** Every so many calls the server drops idle connections and refuses new ones for a moment; default never. */
  readonly refuseEvery?: number;
  readonly onProgress?: (ratio: number) => void;
}

/** What a run came to, seen from both sides of the gateway. */
export interface FaultsReport {
  readonly share: number;
  readonly calls: readonly CallReport[];
  /** Attempts that reached the server, and the faults that they met. */
  readonly attempts: number;
  readonly faults: Readonly<Record<Fault, number>>;
  /** Times that the server refused connections. */
  readonly refusals: number;
  /** Keys of calls that were executed more than once. */
  readonly repeated: readonly string[];
  /** Calls that the client was told had succeeded, but that were not executed. */
  readonly missing: number;
  /** Most attempts that the budget allows for so many calls in that time. */
  readonly allowedAttempts: number;
  readonly giveUps: Readonly<Record<string, number>>;
  readonly retries: Readonly<Record<string, number>>;
  readonly seconds: number;
}

const budget = { ratio: 0.2, floorPerSecond: 10 };
const policy = { maxRetries: 3, baseMs: 20, maxMs: 500 };
/** Waits that outlast a refusal, however late its end comes on a busy machine. */
const patientPolicy = { maxRetries: 3, baseMs: 200, maxMs: 800, jitter: "equal" };
const refusedForMs = 20;

/** Starts the server and a gateway in a process of its own, makes the calls, and compares both sides. */
export async function runFaults(options: FaultsOptions): Promise<FaultsReport> {
  const { share, seed, concurrency, attemptTimeoutMs = 1_000, refuseEvery, onProgress } = options;
  await using server = await startFlakyServer({ era: "modern", share: 0, seed });
  await using gateway = await startGateway({
    config: {
      mcpServers: { flaky: { url: server.url, trusted: true, stateless: true } },
      plugins: [{ name: "retry", config: { ...(refuseEvery ? patientPolicy : policy), attemptTimeoutMs } }],
      retry: { budget },
      observability: { logLevel: "warn" },
    },
  });
  await makeCall(gateway.url, { tool: "read", key: "first" }, 0);
  const before = server.attempts().total;
  server.setShare(share);
  const plan = planCalls(options.calls);
  const startedMs = performance.now();
  let done = 0;
  let refusals = 0;
  const calls = await inParallel(plan, concurrency, async (call, index) => {
    const report = await makeCall(gateway.url, call, index);
    done++;
    if (refuseEvery !== undefined && done % refuseEvery === 0) {
      refusals++;
      void server.refuseFor(refusedForMs);
    }
    onProgress?.(done / plan.length);
    return report;
  });
  const seconds = (performance.now() - startedMs) / 1_000;
  const { total, faults } = server.attempts();
  return {
    share,
    calls,
    attempts: total - before,
    faults,
    refusals,
    repeated: Object.keys(server.ledger.duplicates()),
    missing: calls.filter(({ ok, key }) => ok && server.ledger.executions(key) === 0).length,
    allowedAttempts: Math.floor(plan.length * (1 + budget.ratio) + budget.floorPerSecond * (seconds + 1)),
    ...(await countsOf(gateway)),
    seconds,
  };
}

async function countsOf(gateway: Gateway): Promise<Pick<FaultsReport, "giveUps" | "retries">> {
  const answer = await fetch(`${gateway.url}/admin/limits`);
  const { retry } = (await answer.json()) as { retry: Pick<FaultsReport, "giveUps" | "retries"> };
  return { giveUps: retry.giveUps, retries: retry.retries };
}
