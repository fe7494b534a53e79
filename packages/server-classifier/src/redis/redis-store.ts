import type { ClaimRequest, ClassifierStore, StoreEvent } from "../classifier-store.ts";
import type { PollEnding } from "../poll-state.ts";
import { decodeSnapshot, decodeState, decodeUsage, type FlatHash } from "./decode.ts";
import { acquireScript, releaseScript } from "./lease.lua.ts";
import { claimScript, finishScript } from "./poll.lua.ts";
import type { RedisClient, RedisSubscriber } from "./redis-client.ts";
import { createScript } from "./run-script.ts";
import { publishScript, readScript } from "./snapshot.lua.ts";
import { collectScript, reportScript } from "./usage.lua.ts";

/** What a Redis store needs. */
export interface RedisClassifierStoreOptions {
  readonly client: RedisClient;
  /** A connection of its own for notices. Without it replicas notice changes at their next cycle. */
  readonly subscriber?: RedisSubscriber;
  /** Key prefix. Default `gw`. */
  readonly prefix?: string;
  /** Use and poll states nobody touched for so long are forgotten. Default 7 days. */
  readonly ttlMs?: number;
}

const WEEK_MS = 7 * 86_400_000;

const scripts = {
  acquire: createScript(acquireScript),
  release: createScript(releaseScript),
  report: createScript(reportScript),
  collect: createScript(collectScript),
  publish: createScript(publishScript),
  read: createScript(readScript),
  claim: createScript(claimScript),
  finish: createScript(finishScript),
};

/**
 * The store that replicas share. All keys carry the hash tag `{cls}`, so that each call is one script on one
 * Cluster slot; the time is the server's; ids of servers are the only names in it.
 */
export function createRedisClassifierStore(options: RedisClassifierStoreOptions): ClassifierStore {
  const { client, subscriber, prefix = "gw", ttlMs = WEEK_MS } = options;
  const keepMs = Math.ceil(ttlMs);
  const key = (name: string) => `${prefix}:{cls}:${name}`;
  const [leader, epochKey, uses, last, replicas, snapshot] = [
    key("leader"),
    key("epoch"),
    key("uses"),
    key("last"),
    key("replicas"),
    key("snapshot"),
  ] as const;
  const channel = `${prefix}:cls`;
  const listeners = new Set<(event: StoreEvent) => void>();
  const onMessage = (from: string, message: string) => {
    if (from !== channel || (message !== "published" && message !== "released")) return;
    for (const listener of [...listeners]) listener(message);
  };
  // Without an offline queue a connection that is down now subscribes when it is ready; one that waits connects.
  const listen = () => void subscriber?.subscribe(channel).catch(() => {});
  let subscribed = false;

  return {
    async acquire(instanceId, leaseMs, epochSeen) {
      const reply = await scripts.acquire(client, [leader, epochKey], [instanceId, leaseMs, epochSeen]);
      const [mine, epoch, expiresInMs, now] = reply as [number, number, number, number];
      return { leader: mine === 1, epoch, expiresInMs, now };
    },
    async release(instanceId) {
      return (await scripts.release(client, [leader], [instanceId, channel])) === 1;
    },
    async report({ replicaId, seq, entries, ttlMs }) {
      const gauges = entries
        .filter(({ active, sessions }) => active > 0 || sessions > 0)
        .map(({ serverId, active, sessions }) => [serverId, active, sessions]);
      const deltas = entries
        .filter(({ uses: fresh, ageMs }) => fresh > 0 || ageMs !== undefined)
        .flatMap(({ serverId, uses: fresh, ageMs }) => [serverId, fresh, ageMs ?? -1]);
      const head = [replicaId, seq, JSON.stringify(gauges), ttlMs, keepMs];
      return { now: (await scripts.report(client, [uses, last, replicas], [...head, ...deltas])) as number };
    },
    async collect() {
      const reply = await scripts.collect(client, [uses, last, replicas, snapshot], []);
      const [now, total, latest, reported, stored] = reply as [
        number,
        FlatHash,
        FlatHash,
        FlatHash,
        FlatHash,
      ];
      return { now, usage: decodeUsage(total, latest, reported), snapshot: decodeSnapshot(stored) };
    },
    async publish({ epoch, versionSeen, classification, ttlMs }) {
      const { metadata, history } = classification;
      const servers = [...history].flatMap(([id, seen]) => [id, JSON.stringify(seen)]);
      const head = [epoch, ttlMs, versionSeen, JSON.stringify(metadata), channel];
      const reply = await scripts.publish(client, [snapshot, epochKey, uses, last], [...head, ...servers]);
      const [accepted, now, version] = reply as [number, number, number];
      if (accepted !== 1) return { accepted: false, snapshot: undefined, now };
      return { accepted: true, snapshot: { version, epoch, metadata, servers: history }, now };
    },
    async read() {
      const [now, stored] = (await scripts.read(client, [snapshot], [])) as [number, FlatHash];
      return { now, snapshot: decodeSnapshot(stored) };
    },
    async claim(requests, limit = requests.length) {
      const keys = requests.map(({ scope }) => key(`p:${scope}`));
      const args = requests.flatMap(encodeClaim);
      const [now, ...flat] = (await scripts.claim(client, keys, [keepMs, limit, ...args])) as [
        number,
        ...unknown[],
      ];
      const replies = requests.map((_, i) => ({
        granted: flat[2 * i] === 1,
        state: decodeState(String(flat[2 * i + 1])),
      }));
      return { now, replies };
    },
    async finish(records) {
      const keys = records.map(({ scope }) => key(`p:${scope}`));
      const args = records.flatMap(({ ending }) => encodeEnding(ending));
      const [now, ...states] = (await scripts.finish(client, keys, [keepMs, ...args])) as [
        number,
        ...string[],
      ];
      return { now, states: states.map(decodeState) };
    },
    subscribe(listener) {
      listeners.add(listener);
      if (subscriber !== undefined && !subscribed) {
        subscribed = true;
        subscriber.on("message", onMessage);
        subscriber.on("ready", listen);
        listen();
      }
      return () => listeners.delete(listener);
    },
    async close() {
      listeners.clear();
      if (!subscribed) return;
      subscribed = false;
      subscriber?.off("message", onMessage);
      subscriber?.off("ready", listen);
      // Not waited for: a subscriber has no command timeout, and a Redis that hangs would hold up every stop.
      void subscriber?.unsubscribe(channel).catch(() => {});
    },
  };
}

function encodeClaim({ token, pace, claimMs, known }: ClaimRequest): (string | number)[] {
  const { last, failures, forcedAt, ttlMs } = known;
  return [token, pace.intervalMs, pace.maxPauseMs, claimMs, last, failures, forcedAt, ttlMs];
}

function encodeEnding(ending: PollEnding): [string, string, number, number] {
  switch (ending.kind) {
    case "completed":
      return [ending.kind, ending.token, ending.ttlMs ?? 0, 0];
    case "failed":
      return [ending.kind, ending.token, ending.baseMs, ending.maxMs];
    case "abandoned":
      return [ending.kind, ending.token, ending.pauseMs ?? 0, 0];
    case "renewed":
      return [ending.kind, ending.token, 0, 0];
    case "forced":
      return [ending.kind, "", ending.debounceMs, 0];
  }
}
