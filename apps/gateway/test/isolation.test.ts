import { buildCounterServer, createLedger, startSdkServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { modern } from "./support/modern-client.ts";
import { openSession } from "./support/replica-set.ts";
import { startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** What is listed in the background is not what these tests are about. */
const quiet = { classifier: { enabled: false, refreshIntervalSeconds: 86_400 } };

const bearer = (token: string) => ({ type: "bearer", token });
const perUser = (users: Record<string, string>) => ({
  type: "per_user",
  users: Object.fromEntries(Object.entries(users).map(([user, token]) => [user, bearer(token)])),
  default: bearer("default"),
});

/** Calls without a session; the tool's structured content. */
async function call(gateway: TestGateway, token: string, name: string, args: object = {}) {
  const { body } = await gateway.rpc(
    "/mcp/http",
    { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } },
    { authorization: `Bearer ${token}` },
  );
  return body.result?.structuredContent;
}

/** A counter whose sessions are each remembered with the credentials that they were shown. */
async function startGuardedCounter() {
  const ledger = createLedger();
  const shown = new Map<string, Set<string>>();
  const server = await startSdkServer(({ sessionId }) => buildCounterServer(ledger, sessionId ?? "none"), {
    era: "legacy",
    guard: ({ headers }) => {
      const id = headers.get("mcp-session-id");
      if (id !== null) {
        shown.set(id, (shown.get(id) ?? new Set()).add(headers.get("authorization") ?? "none"));
      }
      return undefined;
    },
  });
  return {
    ...server,
    /** What the session of an answer was shown, ever. */
    shownTo: ({ session }: { session: string }) => [...(shown.get(session) ?? [])].join(),
  };
}

describe("credentials of a user's own", () => {
  it.each([
    { stateless: true, what: "an upstream that all may share" },
    { stateless: false, what: "an upstream with sessions" },
  ])(
    "are in the key: $what never has two users' in one session, and users that have none share the gateway's",
    async ({ stateless }) => {
      await using upstream = await startGuardedCounter();
      await using gateway = await startTestGateway(quiet);
      const auth = perUser({ ann: "ann-1", bob: "bob-1" });
      const made = await gateway.rest("POST", "/gateways", {
        ...{ name: "counter", url: upstream.url, stateless, auth },
      });
      const users = ["ann", "bob", "carl", "dora"] as const;
      const tokens = Object.fromEntries(
        await Promise.all(users.map(async (user) => [user, await gateway.mint({ user })] as const)),
      );
      const read = (user: string) => call(gateway, tokens[user] ?? "", "counter_read");
      const answers = await Promise.all(users.map(read));
      expect(answers.map(upstream.shownTo)).toEqual(
        ["ann-1", "bob-1", "default", "default"].map((token) => `Bearer ${token}`),
      );
      const [ann, bob, carl, dora] = answers.map(({ session }) => session);
      expect(new Set([ann, bob, carl, dora]).size).toBe(stateless ? 3 : 4);

      // They hold for a caller that is known already, too: by the same token, and within the same session.
      const path = `/servers/${made.body.id}/mcp`;
      const session = await openSession(gateway, path, tokens["carl"]);
      expect(upstream.shownTo(await session.tool(gateway, "read"))).toBe("Bearer default");
      await gateway.rest("PATCH", `/gateways/${made.body.id}`, {
        auth: perUser({ ann: "ann-2", carl: "carl" }),
      });
      await eventually(async () => upstream.shownTo(await read("ann")) === "Bearer ann-2");
      expect(upstream.shownTo(await read("bob"))).toBe("Bearer default");
      expect(upstream.shownTo(await read("carl"))).toBe("Bearer carl");
      expect(upstream.shownTo(await session.tool(gateway, "read"))).toBe("Bearer carl");
      expect(upstream.shownTo(await read("dora"))).toBe("Bearer default");
    },
  );

  it("that a user gets while a shared session is waited for are not shown for all who share it", async () => {
    await using upstream = await startScriptedServer();
    await using gateway = await startTestGateway(quiet);
    const made = await gateway.rest("POST", "/gateways", {
      name: "scripted",
      url: upstream.url,
      stateless: true,
      maxConcurrencyPerSession: 1,
      caps: { perKey: 1 },
      auth: perUser({}),
    });
    const read = async (user: string) => {
      const params = { name: "scripted_read", arguments: {} };
      const token = await gateway.mint({ user });
      return modern(gateway, { path: "/mcp", method: "tools/call", params, token });
    };
    const held = Promise.withResolvers<void>();
    const done = { content: [{ type: "text", text: "done" }] };
    upstream.script("tools/call", (_, send) => void held.promise.then(() => send(done)), { result: done });
    const holding = read("ann");
    await eventually(() => upstream.seen("tools/call").length === 1);
    const waiting = read("carl");
    await eventually(() => gateway.core.pool.stats().queueDepth === 1);
    // The old session is drained; who waits is given a new one, opened while carl has credentials of his own.
    await gateway.rest("PATCH", `/gateways/${made.body.id}`, { auth: perUser({ carl: "carl" }) });
    held.resolve();
    await Promise.all([holding, waiting]);
    await read("emil");
    await read("carl");
    expect(upstream.seen("tools/call").map(({ headers }) => headers.authorization)).toEqual(
      ["default", "default", "default", "carl"].map((token) => `Bearer ${token}`),
    );
  });
});

describe("an upstream that goes back to a revision with sessions", () => {
  it("is not shared any more by callers for whom it was shared, and listed anew", async () => {
    const ledger = createLedger();
    await using upstream = await startSdkServer(
      ({ sessionId }) => buildCounterServer(ledger, sessionId ?? "none"),
      { era: "legacy" },
    );
    await using gateway = await startTestGateway({
      ...quiet,
      mcpServers: { counter: { url: upstream.url } },
    });
    const { registry, refresher, snapshots } = gateway.core;
    await refresher.ready();
    const id = await gateway.idOf("counter");
    const record = () => snapshots.current?.upstreams.get(id);
    const { self } = record() ?? {};
    if (self === undefined) throw new Error("never listed");
    // As it was listed before it was replaced.
    const era = "modern" as const;
    const items = [...(snapshots.current?.items(id, "tool") ?? [])].map(([name, { body }]) => {
      return { kind: "tool" as const, name, body };
    });
    await registry.saveDiscovery(id, { self: { ...self, era, protocolVersion: "2026-07-28" }, items });
    await snapshots.refresh();
    expect(record()?.self?.era).toBe("modern");
    const [ann, bob] = await Promise.all(["ann", "bob"].map((user) => gateway.mint({ user })));
    const add = (token = "", amount: number) =>
      eventually(async () => (await call(gateway, token, "counter_add", { amount })) ?? false);
    expect(await add(ann, 5)).toMatchObject({ value: 5 });
    expect(await add(bob, 3)).toMatchObject({ value: 3 });
    expect(record()?.self?.era).toBe("legacy");
  });
});
