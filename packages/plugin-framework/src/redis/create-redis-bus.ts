import { type ControlBus, type ControlFrame, MEMBER_EXPIRY_MS } from "../control/control-bus.ts";
import {
  type ControlRecord,
  isSettled,
  packRecord,
  parseScope,
  unpackRecord,
} from "../control/control-record.ts";
import { ControlKeys } from "./control-keys.ts";
import { laneOf } from "./lane.ts";
import type { RedisCommands, RedisSubscriber } from "./redis-client.ts";
import { runScript } from "./run-script.ts";
import { ACK, BEAT, COPY, MEMBERS, READ, WRITE } from "./scripts.ts";

/** Options of {@link createRedisBus}. */
export interface RedisBusOptions {
  /** For commands: `enableOfflineQueue: false`, `maxRetriesPerRequest` ≤ 1, `commandTimeout` set. Stays yours. */
  readonly client: RedisCommands;
  /** A connection of its own without command timeout: `client.duplicate({ commandTimeout: undefined })`. Stays yours. */
  readonly subscriber: RedisSubscriber;
  /** Begins every key and the channel. Default `gw`. */
  readonly prefix?: string;
}

const ACK_TTL_MS = 600_000;

function parseFrame(message: string): ControlFrame | undefined {
  try {
    const { scope, rev } = JSON.parse(message) as Partial<ControlFrame>;
    return typeof scope === "string" && Number.isSafeInteger(rev) ? { scope, rev: rev as number } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Control records in Redis, one copy per lane, frames over PUBLISH. A record has no TTL; time is Redis's own.
 * `write` resolves after the last copy.
 */
export function createRedisBus({ client, subscriber, prefix = "gw" }: RedisBusOptions): ControlBus {
  const keys = new ControlKeys(prefix);
  const stops = new Set<() => void>();

  /** Writes the copies that are not newer; resolves with how many that changed, and the newest of the newer ones. */
  const spread = async (scope: string, packed: string, rev: number) => {
    const answers = (await Promise.all(
      keys.copies(scope).map((copy) => runScript(client, COPY, copy, packed, rev)),
    )) as [number, string][];
    let ahead: ControlRecord | undefined;
    for (const [, text] of answers) {
      const copy = unpackRecord(text);
      if (copy !== undefined && copy.rev > (ahead?.rev ?? rev)) ahead = copy;
    }
    return { changed: answers.filter(([changed]) => changed === 1).length, ahead };
  };

  const write: ControlBus["write"] = async (scope, record, expectedRev, ttlMs = 0) => {
    const tenants = parseScope(scope)?.tenant !== undefined;
    // Sent before the record, awaited with it.
    const listed = tenants && isSettled(record) ? undefined : client.sadd(keys.scopes, scope);
    const packed = packRecord(record);
    const head = packed.split("|", 5).join("|");
    const by = packed.slice(packed.lastIndexOf("|") + 1);
    const args = [expectedRev, Math.ceil(ttlMs), `${head}|`, record.expiresAt ?? 0, by];
    const [reply] = await Promise.all([runScript(client, WRITE, keys.primary(scope), ...args), listed]);
    const [written, text] = reply as [number, string];
    const current = unpackRecord(text);
    if (written !== 1 || current === undefined) return { written: written === 1, current };
    // Once more after it: whoever took it off the list meanwhile has read the record before.
    if (tenants && !isSettled(current)) await client.sadd(keys.scopes, scope);
    const { ahead } = await spread(scope, text, record.rev);
    if (ahead === undefined) return { written: true, current };
    // A later switch, or one that the record lost in a failover and a copy did not: then this must be newer than that.
    const wipeSeq = Math.max(current.wipeSeq, ahead.wipeSeq);
    const over = await write(scope, { ...current, rev: ahead.rev + 1, wipeSeq }, current.rev);
    return over.written ? over : { written: true, current };
  };

  /** One MGET for all tenants of a lane. It passes over a key of a wrong type, of which GET tells. */
  const getAll = (scopes: readonly string[]): Promise<string | null>[] => {
    const lanes = Map.groupBy(scopes, (scope) => laneOf(parseScope(scope)?.tenant));
    const asked = new Map<string, Promise<string | null>>();
    for (const [lane, group] of lanes) {
      if (lane === "_" || group.length === 1) continue;
      const answer = client.mget(...group.map((scope) => keys.primary(scope)));
      group.forEach((scope, at) => {
        asked.set(
          scope,
          answer.then((values) => values[at] ?? null),
        );
      });
    }
    return scopes.map(async (scope) => (await asked.get(scope)) ?? client.get(keys.primary(scope)));
  };

  const readOne = async (scope: string, got: Promise<string | null>): Promise<ControlRecord | undefined> => {
    const key = keys.primary(scope);
    const plain = unpackRecord((await got) ?? "");
    if (plain?.expiresAt === undefined) return plain;
    const packed = String(await runScript(client, READ, key));
    const record = unpackRecord(packed);
    // Each copy's own reader replaces it likewise.
    if (record !== undefined && record.rev !== plain.rev)
      await spread(scope, packed, record.rev).catch(() => undefined);
    return record;
  };

  return {
    guarantee: "fenced",
    synchronous: false,
    read: (scopes) => {
      const got = getAll(scopes);
      return Promise.all(scopes.map((scope, at) => readOne(scope, got[at] ?? Promise.resolve(null))));
    },
    scopes: () => client.smembers(keys.scopes),
    list: async (scopes) => {
      await Promise.all(scopes.map((scope) => client.sadd(keys.scopes, scope)));
    },
    async unlist(scopes) {
      await Promise.all(
        scopes.map(async (scope) => {
          await client.srem(keys.scopes, scope);
          // Set again meanwhile?
          const record = unpackRecord((await client.get(keys.primary(scope))) ?? "");
          if (record !== undefined && !isSettled(record)) await client.sadd(keys.scopes, scope);
        }),
      );
    },
    write,
    async repair(scope) {
      const packed = (await client.get(keys.primary(scope))) ?? "";
      const rev = unpackRecord(packed)?.rev ?? 0;
      const { changed, ahead } = await spread(scope, packed, rev);
      if (ahead === undefined) return changed;
      const { written } = await write(scope, ahead, rev);
      return changed + (written ? 1 : 0);
    },
    async publish(frame) {
      await client.publish(keys.channel, JSON.stringify({ scope: frame.scope, rev: frame.rev }));
    },
    async subscribe(onFrame, onGap, onLost) {
      const hear = (channel: string, message: string) => {
        const frame = channel === keys.channel ? parseFrame(message) : undefined;
        if (frame !== undefined) onFrame(frame);
      };
      const listen = () =>
        subscriber.subscribe(keys.channel).then(onGap, (error) => {
          // Disconnected again: then it is made when the connection is.
          if (subscriber.status !== "ready" || !stops.has(stop)) return;
          stop();
          onLost?.(error);
        });
      subscriber.on("message", hear);
      subscriber.on("ready", listen);
      const stop = () => {
        stops.delete(stop);
        subscriber.off("message", hear);
        subscriber.off("ready", listen);
        if (stops.size === 0) void subscriber.unsubscribe(keys.channel).catch(() => undefined);
      };
      stops.add(stop);
      if (subscriber.status === "ready") {
        await subscriber.subscribe(keys.channel).catch((error) => {
          stop();
          throw error;
        });
      }
      if (subscriber.status === "wait") void subscriber.connect().catch(() => undefined);
      return stop;
    },
    async ack(replica, scope, { rev, uuid }) {
      await runScript(client, ACK, keys.acks(scope), replica, `${rev}|${uuid}`, rev, ACK_TTL_MS);
    },
    async acks(scope, { rev, uuid }) {
      const all = Object.entries(await client.hgetall(keys.acks(scope)));
      return all.flatMap(([replica, at]) =>
        at === `${rev}|${uuid}` || Number.parseInt(at, 10) > rev ? [replica] : [],
      );
    },
    async beat(replica) {
      const reply = await runScript(client, BEAT, keys.members, replica, MEMBER_EXPIRY_MS);
      const [known, keptMs] = reply as [number, number];
      return { known: known === 1, keptMs };
    },
    async leave(replica) {
      await client.zrem(keys.members, replica);
    },
    members: async () => (await runScript(client, MEMBERS, keys.members, MEMBER_EXPIRY_MS)) as string[],
    async close() {
      for (const stop of [...stops]) stop();
    },
  };
}
