import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { gatewayConfig } from "../src/config/gateway-config.ts";
import { redisPlace } from "../src/config/redis.ts";
import { openRedis } from "../src/redis/redis-connections.ts";
import { newsByRedis } from "../src/registry/change-news.ts";

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

/** A way to Redis that tells what it passes on, before it does. */
async function watched(seen: (command: string) => void): Promise<number> {
  // Answers still come through when the other end has nothing more to say.
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port: redis.port, host: "127.0.0.1", allowHalfOpen: true });
    for (const end of [near, far]) end.on("error", () => undefined);
    near.on("data", (command) => {
      seen(command.toString().toLowerCase());
      far.write(command);
    });
    near.on("end", () => far.end());
    far.pipe(near);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function listening(port: number) {
  const config = gatewayConfig.parse({ redis: { url: `redis://127.0.0.1:${port}` } });
  const place = redisPlace(config.redis);
  if (place === undefined) throw new Error("Redis is configured");
  const connections = await openRedis(place, config.redis, pino({ level: "silent" }));
  onTestFinished(() => connections.close());
  const heard: number[] = [];
  const news = newsByRedis(connections, (version) => heard.push(version));
  onTestFinished(() => news.stop());
  let version = 0;
  const hears = () => {
    const before = heard.length;
    return eventually(() => {
      news.tell(++version);
      return heard.length > before;
    });
  };
  return { connections, hears };
}

const cutSubscriber = () => redis.client().call("CLIENT", "KILL", "TYPE", "pubsub");

it("a connection that was lost is listened to again", async () => {
  const { hears } = await listening(redis.port);
  await hears();
  await cutSubscriber();
  await hears();
});

it("one that is closed while it is coming back leaves no rejection unheard, which would end the process", async () => {
  const unheard: unknown[] = [];
  const note = (reason: unknown) => void unheard.push(reason);
  process.on("unhandledRejection", note);
  onTestFinished(() => void process.off("unhandledRejection", note));
  let cut = false;
  let asked: (() => void) | undefined;
  const port = await watched((command) => {
    // The last thing that the driver asks before it is ready.
    if (cut && command.includes("$4\r\ninfo\r\n")) asked?.();
  });
  const { connections, hears } = await listening(port);
  await hears();
  const closed = new Promise<void>((resolve) => {
    asked = () => {
      connections.close();
      connections.subscriber.once("end", resolve);
    };
  });
  cut = true;
  await cutSubscriber();
  await closed;
  await new Promise((resolve) => setImmediate(resolve));
  expect(unheard).toEqual([]);
});
