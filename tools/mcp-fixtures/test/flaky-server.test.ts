import { describe, expect, it } from "vitest";
import { createFaultPlan, FAULTS, type Fault, type FlakyFixture, startFlakyServer } from "../src/index.ts";
import { connect, type Mode, textOf } from "./connect.ts";

const alwaysFailing = (fault: Fault) => startFlakyServer({ share: 1, faults: [fault] });

async function writeOnce(server: FlakyFixture, signal = AbortSignal.timeout(1_000)): Promise<Response> {
  return fetch(server.url, {
    method: "POST",
    signal,
    headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: {
        name: "write",
        arguments: { key: "k" },
        _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" },
      },
    }),
  });
}

describe("fault plan", () => {
  it("fails the asked share of attempts, evenly by its faults", () => {
    const plan = createFaultPlan(7, 0.1, FAULTS);
    const met = new Map<Fault | undefined, number>();
    for (let key = 0; key < 60_000; key += 1) {
      const fault = plan.faultOf(`call-${key}`, 1);
      met.set(fault, (met.get(fault) ?? 0) + 1);
    }
    expect(met.get(undefined)).toBeGreaterThan(53_500);
    expect(met.get(undefined)).toBeLessThan(54_500);
    for (const fault of FAULTS) expect(Math.abs((met.get(fault) ?? 0) - 1_000)).toBeLessThan(200);
  });

  it("decides the same for the same seed, key and attempt, and anew for the next attempt", () => {
    const fates = (seed: number, attempt: number) =>
      Array.from({ length: 100 }, (_, key) => createFaultPlan(seed, 0.5, FAULTS).faultOf(`${key}`, attempt));
    expect(fates(1, 1)).toEqual(fates(1, 1));
    expect(fates(1, 1)).not.toEqual(fates(2, 1));
    expect(fates(1, 1)).not.toEqual(fates(1, 2));
  });
});

describe("flaky server", () => {
  it("refuses connections as long as it is told to, and answers what is under way", async () => {
    await using server = await startFlakyServer({ share: 0 });
    await (await writeOnce(server, AbortSignal.timeout(5_000))).text();
    const over = server.refuseFor(200);
    const refused = await writeOnce(server, AbortSignal.timeout(5_000)).catch((error) => error.cause?.code);
    expect(refused).toBe("ECONNREFUSED");
    await over;
    expect((await writeOnce(server, AbortSignal.timeout(5_000))).status).toBe(200);
    expect(server.attempts().total).toBe(2);
  });

  for (const mode of ["legacy", "modern"] satisfies Mode[]) {
    it(`works for the official client in ${mode} mode as long as it does not fail`, async () => {
      await using server = await startFlakyServer({ share: 0 });
      await using connected = await connect(server.url, mode);
      const { tools } = await connected.client.listTools();
      expect(Object.fromEntries(tools.map(({ name, annotations }) => [name, annotations]))).toEqual({
        read: { readOnlyHint: true },
        put: { readOnlyHint: false, idempotentHint: true },
        remove: { readOnlyHint: false, destructiveHint: true, idempotentHint: true },
        write: undefined,
      });
      const answer = await connected.client.callTool({ name: "write", arguments: { key: "a" } });
      expect(textOf(answer as never)).toBe("write a");
      expect(server.ledger.executions("a")).toBe(1);
    });
  }

  for (const [fault, executions] of [
    ["reset_before_execution", 0],
    ["reset_after_execution", 1],
    ["hang", 0],
    ["hang_after_execution", 1],
  ] as const) {
    it(`${fault}: the caller learns nothing, and it was executed ${executions} times`, async () => {
      await using server = await alwaysFailing(fault);
      await expect(writeOnce(server)).rejects.toThrow();
      expect(server.ledger.executions("k")).toBe(executions);
      expect(server.attempts()).toMatchObject({ total: 1, faults: { [fault]: 1 } });
    });
  }

  for (const [fault, retryAfter] of [
    ["unavailable", null],
    ["unavailable_retry_after", "1"],
  ] as const) {
    it(`${fault}: 503 with Retry-After ${retryAfter}, nothing executed`, async () => {
      await using server = await alwaysFailing(fault);
      const answer = await writeOnce(server);
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, retryAfter]);
      expect(server.ledger.executions("k")).toBe(0);
    });
  }

  it("counts attempts by key, and duplicates in its ledger", async () => {
    await using server = await alwaysFailing("reset_after_execution");
    await writeOnce(server).catch(() => undefined);
    server.setShare(0);
    expect((await writeOnce(server)).status).toBe(200);
    expect(server.attemptsOf("k")).toBe(2);
    expect(server.ledger.duplicates()).toEqual({ k: 2 });
    const report = await (await fetch(new URL("/stats", server.url))).json();
    expect(report).toMatchObject({ attempts: { total: 2 }, executions: 2, duplicates: { k: 2 } });
  });

  it("answers a repeated idempotency key from memory when it honours them", async () => {
    for (const honourIdempotencyKeys of [true, false]) {
      await using server = await startFlakyServer({ share: 0, honourIdempotencyKeys });
      await using connected = await connect(server.url, "legacy");
      const call = {
        name: "write",
        arguments: { key: "same" },
        _meta: { "io.gatewright/idempotencyKey": "token-1" },
      };
      await connected.client.callTool(call);
      expect(textOf((await connected.client.callTool(call)) as never)).toBe("write same");
      expect(server.ledger.executions("same")).toBe(honourIdempotencyKeys ? 1 : 2);
    }
  });
});
