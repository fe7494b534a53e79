import { EventEmitter } from "node:events";
import { createSessionKeys, createSessionPool } from "@gatewright/session-pool";
import genericPool from "generic-pool";
import { createPool as createLightningPool } from "lightning-pool";
// @ts-expect-error pg-pool brings no types
import PgPool from "pg-pool";
import { Pool as TarnPool } from "tarn";

/*
 * acquire + release of a warm session, ours against four known pools, in one process and interleaved.
 * Figures are nanoseconds of CPU per operation, so that other work on the machine counts little: the median of several
 * rounds. Arguments are names to be compared; default all.
 */

const wanted = process.argv.slice(2);

interface Contender {
  readonly name: string;
  cycle(): Promise<void>;
  close(): Promise<void>;
}

const makers: ((size: number) => Contender)[] = [ours, oursKeyed, bare, generic, lightningPool, tarn, pg];

function ours(size: number): Contender {
  return gatewright("session-pool", size, 1);
}

/** The same with a hundred keys in the pool, since the others have only one. */
function oursKeyed(size: number): Contender {
  return gatewright("session-pool, 100 keys", size, 100);
}

function gatewright(name: string, size: number, keyCount: number): Contender {
  const keys = createSessionKeys({ secret: "0123456789abcdef0123456789abcdef" });
  const all = Array.from({ length: keyCount }, (_, i) =>
    keys.identity({ id: `server-${i}`, stateless: true }, { principal: "ann" }),
  );
  const pool = createSessionPool(
    { maxConcurrencyPerSession: 1, maxPerKey: size },
    { factory: { connect: async () => ({}), close: async () => {} } },
  );
  let next = 0;
  return {
    name,
    async cycle() {
      next = next + 1 === keyCount ? 0 : next + 1;
      const lease = await pool.acquire(all[next]!);
      lease.release();
    },
    close: async () => void (await pool.close({ deadlineMs: 0 })),
  };
}

/**
 * The floor: what a keyed pool cannot do without. A look-up by key, the time twice (is the session still fresh, or since
 * when does the caller wait; how long was it held), an object that can be given back once, a promise, and a queue.
 */
function bare(size: number): Contender {
  interface Held {
    readonly session: object;
    readonly sinceMs: number;
    returned: boolean;
  }
  const id = createSessionKeys({ secret: "0123456789abcdef0123456789abcdef" }).exclusive(
    { id: "server" },
    { principal: "ann" },
  ).id;
  const idle = Array.from({ length: size }, () => ({}));
  interface Waiting {
    readonly resolve: (held: Held) => void;
    readonly reject: (error: unknown) => void;
    readonly sinceMs: number;
  }
  const stacks = new Map([[id, { idle, waiters: [] as Waiting[], head: 0, freshMs: 60_000 }]]);
  let heldMs = 0;
  let waitedMs = 0;
  let expired = 0;
  const acquire = (): Promise<Held> => {
    const stack = stacks.get(id)!;
    const session = stack.idle.pop();
    const sinceMs = performance.now();
    if (session === undefined) {
      return new Promise((resolve, reject) => stack.waiters.push({ resolve, reject, sinceMs }));
    }
    if (sinceMs > stack.freshMs) expired++;
    return Promise.resolve({ session, sinceMs, returned: false });
  };
  const release = (held: Held) => {
    if (held.returned) return;
    held.returned = true;
    const stack = stacks.get(id)!;
    const sinceMs = performance.now();
    heldMs += sinceMs - held.sinceMs;
    stack.freshMs = sinceMs + 60_000;
    if (stack.head === stack.waiters.length) {
      stack.idle.push(held.session);
      return;
    }
    const waiter = stack.waiters[stack.head++]!;
    waitedMs += sinceMs - waiter.sinceMs;
    waiter.resolve({ session: held.session, sinceMs, returned: false });
    if (stack.head === 1_024) {
      stack.waiters.splice(0, stack.head);
      stack.head = 0;
    }
  };
  return {
    name: "(the floor, bare)",
    async cycle() {
      const held = await acquire();
      release(held);
    },
    close: async () => {
      if (expired > 0 || heldMs < 0 || waitedMs < 0) throw new Error("the floor is wrong");
    },
  };
}

function generic(size: number): Contender {
  const pool = genericPool.createPool(
    { create: async () => ({}), destroy: async () => {} },
    { max: size, min: 0 },
  );
  return {
    name: "generic-pool",
    async cycle() {
      const resource = await pool.acquire();
      await pool.release(resource);
    },
    close: async () => void (await pool.drain().then(() => pool.clear())),
  };
}

function lightningPool(size: number): Contender {
  const pool = createLightningPool(
    { create: async () => ({}), destroy: async () => {}, reset: async () => {} },
    { max: size, min: 0, minIdle: 0, maxQueue: 100_000 },
  );
  return {
    name: "lightning-pool",
    async cycle() {
      const resource = await pool.acquire();
      pool.release(resource);
    },
    close: async () => void (await pool.close(true)),
  };
}

function tarn(size: number): Contender {
  const pool = new TarnPool({ create: async () => ({}), destroy: () => {}, min: 0, max: size });
  return {
    name: "tarn",
    async cycle() {
      const resource = await pool.acquire().promise;
      pool.release(resource);
    },
    close: async () => void (await pool.destroy()),
  };
}

function pg(size: number): Contender {
  // What pg-pool asks of a client, without a database behind it.
  class Client extends EventEmitter {
    readonly _queryable = true;
    readonly _ending = false;
    connect(done: () => void) {
      process.nextTick(done);
    }
    end(done?: () => void) {
      done?.();
    }
    ref() {}
    unref() {}
  }
  const pool = new PgPool({ max: size, Client } as never);
  return {
    name: "pg-pool",
    async cycle() {
      const client = await pool.connect();
      client.release();
    },
    close: () => pool.end(),
  };
}

async function callers(contender: Contender, count: number, operations: number): Promise<number> {
  const each = Math.ceil(operations / count);
  const begin = process.cpuUsage();
  await Promise.all(
    Array.from({ length: count }, async () => {
      for (let i = 0; i < each; i++) await contender.cycle();
    }),
  );
  const { user, system } = process.cpuUsage(begin);
  return ((user + system) * 1_000) / (each * count);
}

/** What an awaited async function around an awaited promise costs by itself. */
const floor: Contender = {
  name: "(await alone)",
  async cycle() {
    await Promise.resolve();
  },
  close: async () => {},
};

for (const [title, count, size] of [
  ["uncontended: 1 caller on 1 session", 1, 1],
  ["64 callers on 10 sessions", 64, 10],
] as const) {
  const contenders = [...makers.map((make) => make(size)), floor].filter(
    ({ name }) => wanted.length === 0 || wanted.includes(name),
  );
  const results = new Map(contenders.map((c) => [c.name, [] as number[]]));
  for (const contender of contenders) await callers(contender, count, 200_000);
  for (let round = 0; round < 7; round++) {
    for (const contender of contenders)
      results.get(contender.name)!.push(await callers(contender, count, 200_000));
  }
  console.log(`\n${title}`);
  for (const [name, times] of results) {
    const sorted = times.sort((a, b) => a - b);
    console.log(
      `  ${name.padEnd(24)} ${sorted[3]!.toFixed(0).padStart(6)} ns  (best ${sorted[0]!.toFixed(0)})`,
    );
  }
  for (const contender of contenders) await contender.close();
}
