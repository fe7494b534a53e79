// `pnpm run bench [PART …]`: memory, heap, users, redis, failure, wipe; all parts, or the named ones.
import { recordRow } from "@gatewright/bench";
import { measure } from "./measure.ts";

const subject = "rate-limiter";

type Memory = Record<string, { ns: number; times: number }>;
type Redis = Record<string, { perSecond: number; server: number; client: number; times: number }>;
type Wiped = { wipeMs: number; stale: number; p99Before: number; p99During: number };

async function benchMemory(): Promise<void> {
  for (const outcome of ["allowed", "refused"] as const) {
    const least = outcome === "allowed" ? 2 : 8;
    for (const algorithm of ["fixed_window", "sliding_window", "token_bucket", "gcra"]) {
      const { ours, ...others } = await measure<Memory>("memory", algorithm, outcome);
      const times = others["rate-limiter-flexible"]!.times;
      const toFloor = 1 / others["floor"]!.times;
      recordRow({
        subject,
        what: `memory, 1 rule, 10 000 keys, ${outcome}, ${algorithm}`,
        unit: "ns CPU",
        better: "less",
        ours: ours!.ns,
        peers: Object.fromEntries(Object.entries(others).map(([name, { ns }]) => [name, ns])),
        times: Object.fromEntries(Object.entries(others).map(([name, peer]) => [name, peer.times])),
        bar: `≤ 120 ns and ≥ ${least}× rate-limiter-flexible, or ≤ 1.5 of the floor (${toFloor.toFixed(2)}), ratios by the median of rounds`,
        met: (ours!.ns <= 120 && times >= least) || toFloor <= 1.5,
      });
    }
  }
}

async function benchHeap(): Promise<void> {
  const heap = await measure<number>("heap", "ours");
  recordRow({
    subject,
    what: "memory, held per key, names included",
    unit: "B",
    better: "less",
    ours: heap,
    peers: {
      "rate-limiter-flexible": await measure<number>("heap", "rate-limiter-flexible"),
      "express-rate-limit": await measure<number>("heap", "express-rate-limit"),
    },
    bar: "≤ 120 B",
    met: heap <= 120,
  });
}

async function benchUsers(): Promise<void> {
  for (const maxKeys of ["100000", "1000000"]) {
    const { p9999, keys } = await measure<{ p9999: number; keys: number }>("million", maxKeys);
    recordRow({
      subject,
      what: `memory, 1 000 000 users, maxKeys ${maxKeys}, p99.99 of check`,
      unit: "ms",
      better: "less",
      ours: p9999,
      peers: {},
      bar: "bounded, ≤ 5 ms",
      met: p9999 <= 5 && keys <= Number(maxKeys),
    });
  }
}

async function benchRedis(): Promise<void> {
  const redis = await measure<Redis>("redis");
  const peers = ["rate-limiter-flexible", "@upstash/ratelimit", "floor"];
  const peersOf = (key: "perSecond" | "server" | "client") =>
    Object.fromEntries(peers.map((name) => [name, redis[name]![key]]));
  for (const algorithm of ["fixed_window", "sliding_window", "token_bucket", "gcra"]) {
    const { perSecond, server, client, times } = redis[algorithm]!;
    const windows = algorithm.endsWith("window");
    const least = windows ? 2.5 : 1.5;
    const what = `Redis, 3 rules, 64 in flight, ${algorithm}`;
    recordRow({
      subject,
      what: `${what}: checks`,
      unit: "/s",
      better: "more",
      ours: perSecond,
      peers: peersOf("perSecond"),
      times: { "rate-limiter-flexible": times },
      bar: `≥ ${least}× rate-limiter-flexible (${times.toFixed(2)}× by the median of rounds)`,
      met: times >= least,
    });
    recordRow({
      subject,
      what: `${what}: server CPU per check`,
      unit: "µs",
      better: "less",
      ours: server,
      peers: peersOf("server"),
      bar: `≤ ${windows ? 10 : 20} µs`,
      met: server <= (windows ? 10 : 20),
    });
    recordRow({
      subject,
      what: `${what}: client CPU per check`,
      unit: "µs",
      better: "less",
      ours: client,
      peers: peersOf("client"),
      bar: "≤ 13 µs",
      met: client <= 13,
    });
  }
}

async function benchFailure(): Promise<void> {
  const failures = await measure<Record<string, { first: number; open: number }>>("failure");
  for (const [fault, { first, open }] of Object.entries(failures)) {
    recordRow({
      subject,
      what: `Redis ${fault}: first decision`,
      unit: "ms",
      better: "less",
      ours: first,
      peers: {},
      bar: "≤ timeoutMs (250) + 5 ms",
      met: first <= 255,
    });
    recordRow({
      subject,
      what: `Redis ${fault}: decision with the breaker open, p99`,
      unit: "ms",
      better: "less",
      ours: open,
      peers: {},
      bar: "≤ 0.1 ms",
      met: open <= 0.1,
    });
  }
}

async function benchWipe(): Promise<void> {
  const wipe = await measure<{ single: Wiped; clustered: Wiped; scanMs: number }>("wipe");
  for (const [topology, figures, bar] of [
    ["standalone", wipe.single, 10],
    ["Cluster", wipe.clustered, 50],
  ] as const) {
    recordRow({
      subject,
      what: `wipe of 200 000 counters, ${topology}, until every check sees a fresh window`,
      unit: "ms",
      better: "less",
      ours: figures.wipeMs,
      peers: topology === "standalone" ? { "SCAN + UNLINK": wipe.scanMs } : {},
      bar: `≤ ${bar} ms, none stale`,
      met: figures.wipeMs <= bar && figures.stale === 0,
    });
    recordRow({
      subject,
      what: `p99 of a check while the dead keys are swept, ${topology}`,
      unit: "ms",
      better: "less",
      ours: figures.p99During,
      peers: { before: figures.p99Before },
      bar: "no effect",
      met: figures.p99During <= figures.p99Before * 1.5,
    });
  }
}

const parts: Readonly<Record<string, () => Promise<void>>> = {
  memory: benchMemory,
  heap: benchHeap,
  users: benchUsers,
  redis: benchRedis,
  failure: benchFailure,
  wipe: benchWipe,
};
const wanted = process.argv.slice(2);
for (const [name, bench] of Object.entries(parts))
  if (wanted.length === 0 || wanted.includes(name)) await bench();
