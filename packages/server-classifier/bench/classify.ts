import { recordRow } from "@gatewright/bench";
import {
  classify,
  type KnownServer,
  type ServerHistory,
  type ServerUsage,
} from "@gatewright/server-classifier";
import { seededRandom } from "@gatewright/testkit";
import { poisson, quantile, zipfWeights } from "./traffic.ts";

const RUNS = 41;
const WARM_UP = 11;
const CYCLE_MS = 60_000;
const CALLS_PER_SECOND = 100;

/** Servers, and the usage of each run: Zipf traffic since the one before. */
function population(n: number) {
  const random = seededRandom(n);
  const servers = Array.from({ length: n }, (_, i) => ({ id: `server-${i}`, url: `https://host-${i}/mcp` }));
  const start = Date.UTC(2026, 0, 1);
  const weights = zipfWeights(n, 1.1);
  const usage = servers.map(({ id }) => ({
    serverId: id,
    lastUsedAt: start - Math.floor(random() * 86_400_000),
    activeSessions: Math.floor(random() * 3),
    totalUses: Math.floor(random() * 1_000),
    pooledSessions: 2,
  }));
  const order = servers.map((_, i) => i).sort(() => random() - 0.5);
  const pass = (now: number): void => {
    for (const [at, weight] of weights.entries()) {
      const entry = usage[order[at] as number] as (typeof usage)[number];
      const uses = poisson((weight * CALLS_PER_SECOND * CYCLE_MS) / 1_000, random);
      if (uses === 0) continue;
      entry.totalUses += uses;
      entry.lastUsedAt = now - Math.floor(random() * CYCLE_MS);
      entry.activeSessions = Math.floor(random() * 3);
    }
  };
  return { servers, usage, start, pass };
}

function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

/** The least there is to do: a map of records as large as a history, and one sort by the preset's main keys. */
function floor(servers: readonly KnownServer[], usage: readonly ServerUsage[], now: number): unknown {
  const history = new Map<string, ServerHistory>();
  const records: ServerHistory[] = [];
  for (let i = 0; i < servers.length; i++) {
    const { lastUsedAt, totalUses, activeSessions } = usage[i] as ServerUsage;
    const record: ServerHistory = {
      tier: "cold",
      since: now,
      outRuns: 0,
      decayed: totalUses / 3,
      uses: totalUses,
      updatedAt: now,
      firstSeenAt: now,
      score: lastUsedAt,
      rank: 0,
      lastUsedAt,
      active: activeSessions,
      why: "",
    };
    history.set((servers[i] as KnownServer).id, record);
    records.push(record);
  }
  records.sort((a, b) => b.score - a.score || b.active - a.active || b.uses - a.uses);
  return { history, records };
}

/**
 * Median CPU milliseconds of one run, history included, each round against the floor; CPU time, because a shared machine
 * stretches the clock.
 */
export function benchClassify(n: number): void {
  const { servers, usage, start, pass } = population(n);
  const presets = ["contextforge", "default"] as const;
  const histories = { contextforge: new Map(), default: new Map() } as Record<
    string,
    ReadonlyMap<string, ServerHistory>
  >;
  const times: Record<string, number[]> = { contextforge: [], default: [], floor: [] };
  let kept: unknown;
  for (let run = 0; run < RUNS; run++) {
    const now = start + run * CYCLE_MS;
    pass(now);
    const note = (name: string, work: () => void) => {
      const ms = cpuMs(work);
      if (run >= WARM_UP) times[name]?.push(ms);
    };
    for (const preset of presets)
      note(preset, () => {
        histories[preset] = classify(servers, usage, preset, now, histories[preset]).history;
      });
    note("floor", () => {
      kept = floor(servers, usage, now);
    });
  }
  if (kept === undefined) throw new Error("the floor did nothing");
  const median = (name: string) => quantile(times[name] ?? [], 0.5);
  const bare = median("floor");
  for (const preset of presets) {
    const ours = median(preset);
    recordRow({
      subject: "server-classifier",
      what: `classify ${n} servers, ${preset}, CPU time`,
      unit: "ms",
      better: "less",
      ours,
      peers: { "bare map and sort": bare },
      ...(n === 10_000 && { bar: "≤ 10 ms", met: ours <= 10 }),
    });
  }
}
