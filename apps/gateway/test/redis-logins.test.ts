import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { eventually, startRedis, startRedisCluster, startRedisSentinel } from "@gatewright/testkit";
import { Cluster } from "ioredis";
import { pino } from "pino";
import { expect, it } from "vitest";
import { loadConfig } from "../src/config/load-config.ts";
import { redisPlace } from "../src/config/redis.ts";
import { openRedis, type RedisConnections } from "../src/redis/redis-connections.ts";

const logger = pino({ level: "silent" });

/** Opens the connections that environment variables ask for. */
async function open(env: Record<string, string>): Promise<RedisConnections> {
  const { redis } = await loadConfig({ env });
  const place = redisPlace(redis);
  if (place === undefined) throw new Error("no Redis is configured");
  return openRedis(place, redis, logger);
}

/** A busy machine may be late with an answer, and is not taken for a wrong password. */
const isLoggedIn = (env: Record<string, string>) =>
  eventually(async () => expect(await logins(env)).toEqual({ names: ["app"], health: "ok" }), {
    timeoutMs: 20_000,
  });

/** As whom the connections are logged in at every server they have, and their health. */
async function logins(env: Record<string, string>): Promise<{ names: unknown[]; health: string }> {
  const connections = await open(env);
  try {
    const health = await connections.health();
    if (health === "down") return { names: [], health };
    const names: unknown[] = [];
    for (const client of [connections.commands, connections.subscriber]) {
      if (client.status === "wait") await client.connect();
      const nodes = client instanceof Cluster ? client.nodes("master") : [client];
      for (const node of nodes) names.push(await node.call("ACL", "WHOAMI"));
    }
    return { names: [...new Set(names)], health };
  } finally {
    connections.close();
  }
}

const addUser = (name: string, password: string) =>
  ["SETUSER", name, "on", `>${password}`, "~*", "&*", "+@all"] as const;
const nodesOf = (servers: readonly { readonly host: string; readonly port: number }[]) =>
  servers.map(({ host, port }) => `${host}:${port}`).join(",");

it.concurrent("logs in to one server with the user and password of its URL", async () => {
  await using redis = await startRedis();
  await redis.client().call("ACL", ...addUser("app", "open"));
  const url = (password: string) => ({ REDIS_URL: `redis://app:${password}@${redis.host}:${redis.port}` });
  await isLoggedIn(url("open"));
  expect(await logins({ ...url("wrong"), GATEWRIGHT_REDIS__CONNECT_TIMEOUT_MS: "300" })).toMatchObject({
    health: "down",
  });
});

it.concurrent("opens anew a connection that the driver gave up, until it is closed", async () => {
  await using redis = await startRedis();
  const connections = await open({ REDIS_URL: redis.url });
  const { commands, subscriber } = connections;
  for (const client of [commands, subscriber]) {
    if (client.status === "wait") await client.connect();
    // As ioredis ends it where a failover is told while it asks the sentinels for the master.
    const ended = once(client, "end");
    client.disconnect();
    await ended;
    await eventually(() => client.status === "ready");
  }
  await eventually(async () => (await connections.health()) === "ok");
  connections.close();
  await eventually(() => commands.status === "end" && subscriber.status === "end");
  const closedAt = performance.now();
  await eventually(() => performance.now() - closedAt > 300);
  expect([commands.status, subscriber.status]).toEqual(["end", "end"]);
});

it.concurrent("logs in to the sentinels and to the master with passwords of their own", async () => {
  await using sentinel = await startRedisSentinel();
  for (const server of sentinel.servers) await server.client().call("ACL", ...addUser("app", "open"));
  for (const server of sentinel.sentinels) await server.client().call("ACL", ...addUser("watcher", "see"));
  const env = {
    GATEWRIGHT_REDIS__CONNECT_TIMEOUT_MS: "2000",
    GATEWRIGHT_REDIS__SENTINEL__NAME: sentinel.name,
    GATEWRIGHT_REDIS__SENTINEL__NODES: nodesOf(sentinel.addresses),
    GATEWRIGHT_REDIS__SENTINEL__USERNAME: "app",
    GATEWRIGHT_REDIS__SENTINEL__PASSWORD: "open",
    GATEWRIGHT_REDIS__SENTINEL__SENTINEL_USERNAME: "watcher",
    GATEWRIGHT_REDIS__SENTINEL__SENTINEL_PASSWORD: "see",
  };
  await isLoggedIn(env);
  const impatient = { ...env, GATEWRIGHT_REDIS__CONNECT_TIMEOUT_MS: "300" };
  await Promise.all(
    ["PASSWORD", "SENTINEL_PASSWORD"].map(async (of) => {
      const wrong = { ...impatient, [`GATEWRIGHT_REDIS__SENTINEL__${of}`]: "x" };
      expect(await logins(wrong)).toMatchObject({ health: "down" });
    }),
  );
}, 60_000);

it.concurrent("logs in to every node of a Cluster", async () => {
  await using cluster = await startRedisCluster();
  for (const node of cluster.nodes) await node.client().call("ACL", ...addUser("app", "open"));
  const env = {
    GATEWRIGHT_REDIS__CLUSTER__NODES: nodesOf(cluster.nodes.slice(0, 1)),
    GATEWRIGHT_REDIS__CLUSTER__USERNAME: "app",
    GATEWRIGHT_REDIS__CLUSTER__PASSWORD: "open",
  };
  await isLoggedIn(env);
  const wrong = { ...env, GATEWRIGHT_REDIS__CLUSTER__PASSWORD: "x" };
  expect(await logins({ ...wrong, GATEWRIGHT_REDIS__CONNECT_TIMEOUT_MS: "300" })).toMatchObject({
    health: "down",
  });
}, 60_000);

/** The first bytes of all connections to an address, while a gateway tries to reach Redis there. */
async function helloOf(env: (address: string) => Record<string, string>): Promise<Set<number>> {
  const first = new Set<number>();
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (data) => {
      first.add(data[0] ?? -1);
      socket.destroy();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const connections = await open({ ...env(address), GATEWRIGHT_REDIS__CONNECT_TIMEOUT_MS: "300" });
  await eventually(() => first.size > 0);
  connections.close();
  server.close();
  return first;
}

it.concurrent("speaks TLS where it is asked for, to servers, sentinels and nodes of a Cluster, and nowhere else", async () => {
  const handshake = new Set([0x16]);
  const plain = new Set(["*".charCodeAt(0)]);
  const sentinel = (address: string) => ({
    GATEWRIGHT_REDIS__SENTINEL__NAME: "main",
    GATEWRIGHT_REDIS__SENTINEL__NODES: address,
  });
  const cluster = (address: string) => ({ GATEWRIGHT_REDIS__CLUSTER__NODES: address });
  expect(await helloOf((address) => ({ REDIS_URL: `redis://${address}` }))).toEqual(plain);
  expect(await helloOf((address) => ({ REDIS_URL: `rediss://${address}` }))).toEqual(handshake);
  expect(await helloOf(sentinel)).toEqual(plain);
  expect(
    await helloOf((address) => ({ ...sentinel(address), GATEWRIGHT_REDIS__SENTINEL__TLS: "true" })),
  ).toEqual(handshake);
  expect(await helloOf(cluster)).toEqual(plain);
  expect(
    await helloOf((address) => ({ ...cluster(address), GATEWRIGHT_REDIS__CLUSTER__TLS: "true" })),
  ).toEqual(handshake);
});
