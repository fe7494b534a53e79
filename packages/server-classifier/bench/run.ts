// `pnpm run bench [PART …]`: all parts, or the named ones.
import { recordRow } from "@gatewright/bench";
import { createClassifier } from "@gatewright/server-classifier";
import { createRedisClassifierStore } from "@gatewright/server-classifier/redis";
import { eventually, startRedis } from "@gatewright/testkit";
import { benchClassify } from "./classify.ts";
import { benchTakeover } from "./takeover.ts";

const subject = "server-classifier";

/** Scripts sent per cycle by a leader and by followers without and with notices, and the time of a leader's cycle. */
async function benchRoundTrips(n: number): Promise<void> {
  await using redis = await startRedis();
  const servers = Array.from({ length: n }, (_, i) => ({ id: `server-${i}`, url: `https://host-${i}/mcp` }));
  const make = (notices = false) => {
    const counted = { calls: 0 };
    const client = redis.client();
    const store = createRedisClassifierStore({
      client: {
        evalsha: (sha, keys, ...args) => {
          counted.calls++;
          return client.evalsha(sha, keys, ...args);
        },
        eval: (script, keys, ...args) => client.eval(script, keys, ...args),
      },
      ...(notices && { subscriber: redis.client({ commandTimeout: undefined }) }),
    });
    const durations: number[] = [];
    const now = Date.now();
    const usage = servers.map(({ id }) => ({
      serverId: id,
      lastUsedAt: now,
      activeSessions: 1,
      totalUses: 1,
      pooledSessions: 1,
    }));
    const classifier = createClassifier(
      { cycleMs: 200, leaseMs: 600_000, heartbeatMs: 300_000 },
      {
        store,
        servers: () => servers,
        usage: { usage: () => usage },
        observer: { onCycle: ({ durationMs }) => durations.push(durationMs) },
      },
    );
    return { counted, durations, classifier };
  };
  const measure = async ({ counted, classifier, durations }: ReturnType<typeof make>, role: string) => {
    const keepAlive = setInterval(() => {}, 1_000);
    await eventually(() => classifier.stats().cycles >= 2, { timeoutMs: 60_000 });
    const before = { calls: counted.calls, cycles: classifier.stats().cycles };
    await eventually(() => classifier.stats().cycles >= before.cycles + 5, { timeoutMs: 60_000 });
    const trips = (counted.calls - before.calls) / (classifier.stats().cycles - before.cycles);
    clearInterval(keepAlive);
    const ms = durations.toSorted((a, b) => a - b)[Math.floor(durations.length / 2)] ?? Number.NaN;
    recordRow({
      subject,
      what: `Redis round trips per cycle, ${role}, ${n} servers (cycle ${ms.toFixed(0)} ms)`,
      unit: "trips",
      better: "less",
      ours: trips,
      peers: {},
      bar: "≤ 3",
      met: trips <= 3,
    });
  };
  const leader = make();
  leader.classifier.start();
  await measure(leader, "leader");
  const follower = make();
  follower.classifier.start();
  await measure(follower, "follower");
  await follower.classifier.stop();
  const subscriber = make(true);
  subscriber.classifier.start();
  await measure(subscriber, "follower that hears of publications");
  await subscriber.classifier.stop();
  await leader.classifier.stop();
}

const parts: Readonly<Record<string, () => void | Promise<void>>> = {
  classify() {
    for (const n of [100, 1_000, 10_000]) benchClassify(n);
  },
  async trips() {
    for (const n of [300, 3_000]) await benchRoundTrips(n);
  },
  takeover: benchTakeover,
};
const wanted = process.argv.slice(2);
for (const [name, bench] of Object.entries(parts))
  if (wanted.length === 0 || wanted.includes(name)) await bench();
