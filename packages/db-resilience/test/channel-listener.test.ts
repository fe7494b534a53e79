import {
  eventually,
  type PostgresPair,
  type PostgresServer,
  startPostgres,
  startPostgresPair,
} from "@gatewright/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { FaultProxy } from "../src/testing/index.ts";
import { openDatabase, proxyOf, type Subject } from "./support.ts";

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

function open(...[hosts, options]: Parameters<typeof openDatabase>): Subject {
  const subject = openDatabase(hosts, options);
  opened.push({ close: () => subject.database.close({ deadlineMs: 100 }) });
  return subject;
}

function listen({ database }: Subject, channel = "news") {
  const heard: string[] = [];
  const seen = { begun: 0 };
  const stop = database.listen(channel, {
    notified: (payload) => {
      heard.push(payload);
      throw new Error("a hearer's own fault");
    },
    listening: () => {
      seen.begun++;
    },
  });
  return { heard, seen, stop };
}

const backends = (server: PostgresServer) =>
  server.query<{ pid: number }>("select pid from pg_stat_activity where application_name = 'app-listener'");

describe("listening on a channel", () => {
  let postgres: PostgresServer;
  let proxy: FaultProxy;
  beforeAll(async () => {
    postgres = await startPostgres();
    proxy = await proxyOf(postgres);
  });
  afterAll(async () => {
    await proxy.close();
    await postgres.close();
  });

  it("hears what is committed to its channel, on one connection of its own, until it is told to stop", async () => {
    const subject = open([postgres]);
    const { heard, seen, stop } = listen(subject, 'odd "name"');
    await eventually(() => seen.begun === 1);
    expect(await backends(postgres)).toHaveLength(1);
    await subject.database.transaction(async (tx) => {
      await tx.query("select pg_notify($1, 'one')", ['odd "name"']);
      await tx.query("select pg_notify('another', 'x')");
      expect(heard).toEqual([]);
    });
    await subject.database.query("select pg_notify($1, 'two')", ['odd "name"']);
    await eventually(() => heard.length === 2);
    expect(heard).toEqual(["one", "two"]);
    stop();
    await eventually(async () => (await backends(postgres)).length === 0);
  });

  it("begins anew after its session was ended or cut, and says so", async () => {
    const subject = open([proxy]);
    const { heard, seen } = listen(subject);
    await eventually(() => seen.begun === 1);
    await postgres.query("select pg_terminate_backend($1)", [(await backends(postgres))[0]?.pid]);
    await eventually(() => seen.begun === 2);
    proxy.resetConnections();
    await eventually(() => seen.begun === 3);
    await postgres.query("select pg_notify('news', 'again')");
    await eventually(() => heard.includes("again"));
    expect(await backends(postgres)).toHaveLength(1);
  });

  it("does not connect to a server that is down, and comes back with it", async () => {
    const subject = open([proxy]);
    const { seen } = listen(subject);
    await eventually(() => seen.begun === 1);
    await postgres.stop();
    await eventually(() => subject.database.readiness().state === "unavailable");
    await postgres.restart();
    await eventually(() => seen.begun === 2, { timeoutMs: 10_000 });
  });

  it("is refused behind a pooler", () => {
    const { database } = open([postgres], { pooler: "transaction" });
    expect(() => listen({ database, events: [] })).toThrow(/pooler/);
  });
});

describe("listening on two servers", () => {
  let pair: PostgresPair;
  beforeAll(async () => {
    pair = await startPostgresPair();
  });
  afterAll(() => pair.close());

  it("moves to the server that takes the writes", async () => {
    const subject = open([pair.primary, pair.standby], { targetSessionAttrs: "read-write" });
    const { heard, seen } = listen(subject);
    await eventually(() => seen.begun === 1);
    await pair.primary.kill();
    await pair.promote();
    await eventually(() => seen.begun === 2, { timeoutMs: 10_000 });
    await pair.standby.query("select pg_notify('news', 'from the new one')");
    await eventually(() => heard.length === 1);
  });
});
