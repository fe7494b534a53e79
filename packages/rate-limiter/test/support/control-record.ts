import type { Cluster, Redis } from "ioredis";
import { allLanes, laneOf } from "../../src/redis/lane.ts";

/** Writes control records as an operator's switch does: all lanes with one revision, or one tenant's. */
export async function writeRecord(
  client: Redis | Cluster,
  record: { mode: string; rev: number; wipeSeq?: number; expiresAt?: number; tenant?: string },
): Promise<void> {
  const text = `1|${record.rev}|uuid-${record.rev}|${record.mode}|${record.wipeSeq ?? 0}|${record.expiresAt ?? 0}|test`;
  const keys =
    record.tenant === undefined
      ? allLanes().map((lane) => `gw:{l${lane}}:ctl:rate_limiter`)
      : [`gw:{l${laneOf(record.tenant)}}:ctl:rate_limiter:t:${record.tenant}`];
  await Promise.all(keys.map((key) => client.set(key, text)));
}
