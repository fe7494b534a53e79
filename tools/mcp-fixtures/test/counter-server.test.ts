import { describe, expect, it } from "vitest";
import { createLedger, startCounterServer } from "../src/index.ts";
import { connect } from "./connect.ts";

const call = async (client: Awaited<ReturnType<typeof connect>>["client"], name: string, args = {}) =>
  (await client.callTool({ name, arguments: args })).structuredContent as { value: number; session: string };

describe("counter server", () => {
  it("keeps a number per session and writes every addition in its ledger", async () => {
    await using server = await startCounterServer();
    await using one = await connect(server.url, "legacy");
    await using two = await connect(server.url, "legacy");
    expect((await call(one.client, "add", { amount: 5, key: "a" })).value).toBe(5);
    expect((await call(two.client, "add", { amount: 3, key: "b" })).value).toBe(3);
    const first = await call(one.client, "read");
    const second = await call(two.client, "read");
    expect([first.value, second.value]).toEqual([5, 3]);
    expect(first.session).not.toBe(second.session);
    expect(server.ledger.totals()).toEqual({ [first.session]: 5, [second.session]: 3 });
    expect(server.ledger.executions("a")).toBe(1);
    expect((await call(one.client, "reset")).value).toBe(0);
    expect(server.ledger.totals()[first.session]).toBe(0);
  });

  it("speaks the legacy era only", async () => {
    await using server = await startCounterServer();
    await using connected = await connect(server.url, "auto");
    expect(connected.client.getProtocolEra()).toBe("legacy");
    await expect(connect(server.url, "modern")).rejects.toThrow();
  });

  it("tells at GET /stats what it has counted", async () => {
    await using server = await startCounterServer();
    await using connected = await connect(server.url, "legacy");
    await call(connected.client, "add", { amount: 2, key: "same" });
    await call(connected.client, "add", { amount: 2, key: "same" });
    const report = await (await fetch(new URL("/stats", server.url))).json();
    expect(report).toMatchObject({ requests: { "tools/call": 2 }, duplicates: { same: 2 } });
  });

  it("refuses to write in a full ledger", () => {
    const ledger = createLedger(1);
    const entry = { key: "k", tool: "add", session: "s", amount: 1 };
    ledger.record(entry);
    expect(ledger.entries()).toEqual([entry]);
    expect(() => ledger.record(entry)).toThrow(/full/);
  });
});
