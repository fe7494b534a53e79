import { once } from "node:events";
import { connect } from "node:net";
import { startFlakyServer } from "@gatewright/mcp-fixtures";
import { eventually, type Gateway, startGateway } from "@gatewright/testkit";
import type { Bar } from "./bars.ts";
import { inParallel } from "./in-parallel.ts";
import { makeCall } from "./make-call.ts";

/** What is left of calls whose clients went away while the gateway waited to repeat them. */
export interface AbortsReport {
  readonly aborted: number;
  /** Calls that the gateway gave up because of it. */
  readonly counted: number;
  readonly waiting: number;
  readonly leases: number;
  readonly attempts: number;
  readonly seconds: number;
}

const patienceSeconds = 25;
/** Time for the refusal to reach the gateway. */
const untilBackoffMs = 5;

/** Lets clients go away in mid-backoff, by a reset of their connection, and looks at what the gateway still holds. */
export async function runAborts(options: {
  readonly calls: number;
  readonly concurrency: number;
  readonly onProgress?: (ratio: number) => void;
}): Promise<AbortsReport> {
  await using server = await startFlakyServer({
    era: "modern",
    share: 0,
    faults: ["unavailable_retry_after"],
    retryAfterSeconds: patienceSeconds,
  });
  await using gateway = await startGateway({
    config: {
      mcpServers: { flaky: { url: server.url, trusted: true, stateless: true } },
      retry: { budget: false },
      observability: { logLevel: "warn" },
    },
  });
  await makeCall(gateway.url, { tool: "read", key: "first" }, 0);
  server.setShare(1);
  const before = server.attempts().total;
  const startedMs = performance.now();
  let done = 0;
  await inParallel(
    Array.from({ length: options.calls }, (_, index) => `read-${index}`),
    options.concurrency,
    async (key) => {
      await abortInBackoff(gateway, key, () => server.attemptsOf(key) > 0);
      options.onProgress?.(++done / options.calls);
    },
  );
  const seconds = (performance.now() - startedMs) / 1_000;
  let left = await stateOf(gateway);
  await eventually(
    async () => {
      left = await stateOf(gateway);
      return left.waiting === 0 && left.leases === 0 && left.counted >= options.calls;
    },
    { timeoutMs: 5_000 },
  ).catch(() => undefined);
  return { aborted: options.calls, ...left, attempts: server.attempts().total - before, seconds };
}

/** The promises: all noticed, one attempt each, nothing kept. */
export function abortBars(report: AbortsReport): Bar[] {
  const { aborted, counted, waiting, leases, attempts } = report;
  return [
    { what: "aborts noticed", figure: `${counted}`, bar: `= ${aborted}`, met: counted === aborted },
    { what: "attempts at the server", figure: `${attempts}`, bar: `= ${aborted}`, met: attempts === aborted },
    { what: "calls still waiting", figure: `${waiting}`, bar: "0", met: waiting === 0 },
    { what: "sessions still leased", figure: `${leases}`, bar: "0", met: leases === 0 },
  ];
}

async function abortInBackoff(gateway: Gateway, key: string, attempted: () => boolean): Promise<void> {
  const socket = connect(gateway.port, "127.0.0.1");
  await once(socket, "connect");
  const params = { name: "flaky_read", arguments: { key } };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params });
  socket.write(
    `POST /mcp/http HTTP/1.1\r\nhost: 127.0.0.1:${gateway.port}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  while (!attempted()) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise((resolve) => setTimeout(resolve, untilBackoffMs));
  // A reset leaves no port behind that waits for the last segments.
  socket.resetAndDestroy();
}

async function stateOf(gateway: Gateway) {
  const limits = (await (await fetch(`${gateway.url}/admin/limits`)).json()) as {
    readonly retry: { readonly waiting: number; readonly giveUps: Readonly<Record<string, number>> };
  };
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  return {
    counted: limits.retry.giveUps["aborted"] ?? 0,
    waiting: limits.retry.waiting,
    leases: Number(/^gatewright_session_leases (\d+)/m.exec(metrics)?.[1] ?? Number.NaN),
  };
}
