import { MessageChannel, type MessagePort } from "node:worker_threads";
import { type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createInProcessBus, systemClock } from "../src/index.ts";
import { createIpcBus, createIpcHub, type IpcPort } from "../src/ipc/index.ts";
import { createRedisBus } from "../src/redis/index.ts";
import { controlBusConformance } from "./control-bus.conformance.ts";
import { emptyWithOldList } from "./support.ts";

/** The system's clock, which a test can also push forward. */
function pushedClock() {
  let pushed = 0;
  return {
    clock: {
      now: () => systemClock.now() + pushed,
      wallNow: () => systemClock.wallNow() + pushed,
      setTimer: systemClock.setTimer,
    },
    age: async (ms: number) => {
      pushed += ms;
    },
  };
}

controlBusConformance("in process", async () => {
  const { clock, age } = pushedClock();
  let inner = createInProcessBus({ clock });
  const facade = {
    ...inner,
    read: (scopes: readonly string[]) => inner.read(scopes),
    write: (...args: Parameters<typeof inner.write>) => inner.write(...args),
    scopes: () => inner.scopes(),
  };
  return {
    one: facade,
    two: facade,
    age,
    lose: async () => {
      inner = createInProcessBus({ clock });
    },
    deps: { clock },
    close: () => facade.close(),
  };
});

function portOf(port: MessagePort): IpcPort {
  const own = new Map<(message: unknown) => void, (event: unknown) => void>();
  return {
    send: (message) => port.postMessage(message),
    on: (_, listener) => {
      const hear = (message: unknown) => listener(message);
      own.set(listener, hear);
      port.on("message", hear);
    },
    off: (_, listener) => {
      const hear = own.get(listener);
      if (hear !== undefined) port.off("message", hear);
    },
  };
}

controlBusConformance("Node IPC", async () => {
  const { clock, age } = pushedClock();
  const channels = [new MessageChannel(), new MessageChannel()] as const;
  let hub = createIpcHub({ clock });
  const attach = () => {
    for (const { port1 } of channels) hub.attach(portOf(port1));
  };
  attach();
  const [one, two] = channels.map(({ port2 }) => createIpcBus({ port: portOf(port2) }));
  return {
    one: one!,
    two: two!,
    age,
    lose: async () => {
      hub.close();
      hub = createIpcHub({ clock });
      attach();
    },
    deps: { clock },
    close: async () => {
      await one?.close();
      await two?.close();
      hub.close();
      for (const { port1, port2 } of channels) {
        port1.close();
        port2.close();
      }
    },
  };
});

describe("over Redis", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.close());

  controlBusConformance("Redis", async () => {
    const raw = redis.client();
    await emptyWithOldList(raw);
    const [first, second, hears, hearsToo] = [
      redis.client(),
      redis.client(),
      redis.client(),
      redis.client(),
    ] as const;
    const clients = [first, second, hears, hearsToo];
    const one = createRedisBus({
      client: first,
      subscriber: hears,
    });
    const two = createRedisBus({
      client: second,
      subscriber: hearsToo,
    });
    return {
      one,
      two,
      // Beats are stamped by Redis itself: age them where they are.
      age: async (ms) => {
        for (const replica of await raw.zrange("gw:{bus}:members", "0", "-1")) {
          await raw.call("ZINCRBY", "gw:{bus}:members", String(-ms), replica);
        }
      },
      lose: async () => {
        await raw.flushall();
      },
      close: async () => {
        await one.close();
        await two.close();
        for (const client of [raw, ...clients]) client.disconnect();
      },
    };
  });
});

describe("the IPC bus", () => {
  it("refuses calls after it is closed, without a channel, and for methods that the hub does not know", async () => {
    const { port1, port2 } = new MessageChannel();
    const bus = createIpcBus({ port: portOf(port2) });
    const pending = bus.members();
    await bus.close();
    await expect(pending).rejects.toThrow("closed");
    await expect(createIpcBus({ port: { on: () => 0, off: () => 0 } }).members()).rejects.toThrow(
      "no IPC channel",
    );
    port2.close();
    const other = new MessageChannel();
    const answered = new Promise((resolve) => other.port2.on("message", resolve));
    const hub = createIpcHub();
    hub.attach(portOf(other.port1));
    other.port2.postMessage({ tag: "gatewright/control", kind: "call", id: 1, method: "drop", args: [] });
    expect(await answered).toMatchObject({ kind: "reply", error: expect.stringContaining("drop") });
    hub.close();
    for (const port of [port1, other.port1]) port.close();
  });
});
