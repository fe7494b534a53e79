import {
  type Clock,
  classify,
  createMemoryStore,
  createPollSchedule,
  type ServerHistory,
  type Tier,
} from "@gatewright/server-classifier";
import { seededRandom } from "@gatewright/testkit";
import { poisson, zipfWeights } from "./traffic.ts";

/** What is simulated. */
export interface Scenario {
  readonly preset: "default" | "contextforge" | "everything";
  readonly servers: number;
  readonly replicas: number;
  readonly hours: number;
  readonly requestsPerSecond: number;
  readonly seed: number;
}

/** What came of it. */
export interface Outcome {
  /** Tool discovery polls in each minute. */
  readonly pollsPerMinute: readonly number[];
  readonly polls: number;
  /** Times a due poll was made by more than one replica within half its interval. */
  readonly doubled: number;
  readonly moves: number;
  /** Seconds from a change of a tool list to the poll that sees it, by tier at the time of the change. */
  readonly noticed: { readonly hot: readonly number[]; readonly cold: readonly number[] };
}

const TICK_MS = 10_000;
const CYCLE_MS = 60_000;
const HOUR_MS = 3_600_000;
const CHANGES_PER_SERVER_AND_HOUR = 0.25;

/**
 * Runs replicas with their own schedules over one store, in time that is only counted. Traffic is Zipf over the
 * servers; every six hours the popularity moves on by a tenth of them. Server lists change unannounced.
 */
export async function simulate(
  scenario: Scenario,
  onProgress: (ratio: number) => void = () => {},
): Promise<Outcome> {
  const { servers: count, replicas: replicaCount, hours, requestsPerSecond, preset } = scenario;
  const random = seededRandom(scenario.seed);
  const start = Date.UTC(2026, 0, 1);
  let now = start;
  const clock: Clock = { now: () => now, wall: () => now, setTimer: () => () => {} };
  const store = createMemoryStore({ now: () => now });
  const servers = Array.from({ length: count }, (_, i) => ({ id: `server-${i}` }));
  const weights = zipfWeights(count, 1.1);
  const usage = new Map(
    servers.map(({ id }) => [
      id,
      { serverId: id, lastUsedAt: 0, activeSessions: 0, totalUses: 0, pooledSessions: 0 },
    ]),
  );
  let history: ReadonlyMap<string, ServerHistory> = new Map();
  const tierOf = (id: string): Tier | undefined => history.get(id)?.tier;
  const schedules = Array.from({ length: replicaCount }, () =>
    createPollSchedule({}, { store, clock, ...(preset !== "everything" && { tierOf }) }),
  );
  const pollsPerMinute = new Array<number>(hours * 60).fill(0);
  const lastPoll = new Map<string, number>();
  const waiting = new Map<string, { since: number; tier: "hot" | "cold" }>();
  const noticed = { hot: [] as number[], cold: [] as number[] };
  let moves = 0;
  let doubled = 0;

  for (let tick = 0; now < start + hours * HOUR_MS; tick++, now += TICK_MS) {
    onProgress((now - start) / (hours * HOUR_MS));
    const shift = Math.floor((now - start) / (6 * HOUR_MS)) * Math.floor(count / 10);
    for (const [rank, weight] of weights.entries()) {
      const entry = usage.get(`server-${(rank + shift) % count}`);
      const uses = poisson((weight * requestsPerSecond * TICK_MS) / 1_000, random);
      if (entry && uses > 0) Object.assign(entry, { totalUses: entry.totalUses + uses, lastUsedAt: now });
    }
    if (preset !== "everything" && now % CYCLE_MS === 0) {
      const result = classify(servers, usage.values(), preset, now, history);
      for (const [id, { tier }] of result.history) if (history.has(id) && tierOf(id) !== tier) moves++;
      history = result.history;
    }
    for (const { id } of servers) {
      if (!waiting.has(id) && random() < (CHANGES_PER_SERVER_AND_HOUR * TICK_MS) / HOUR_MS) {
        waiting.set(id, { since: now, tier: tierOf(id) === "hot" ? "hot" : "cold" });
      }
    }
    const schedule = schedules[tick % replicaCount];
    const due = servers.filter((server) => schedule?.shouldPoll(server, "tool_discovery"));
    await Promise.all(
      due.map(async (server) => {
        const claim = await schedule?.claim(server, "tool_discovery");
        if (!claim) return;
        const minute = Math.floor((now - start) / 60_000);
        pollsPerMinute[minute] = (pollsPerMinute[minute] ?? 0) + 1;
        if (now - (lastPoll.get(server.id) ?? 0) < 15_000) doubled++;
        lastPoll.set(server.id, now);
        const change = waiting.get(server.id);
        if (change) noticed[change.tier].push((now - change.since) / 1_000);
        waiting.delete(server.id);
        await schedule?.complete(claim);
      }),
    );
  }
  return { pollsPerMinute, polls: pollsPerMinute.reduce((sum, n) => sum + n, 0), doubled, moves, noticed };
}
