import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { RedisServer } from "@gatewright/testkit";

const COPIES = 64;

/** Milliseconds until each of `replicas` bare processes has said, `toggles` times, that it read the news. */
export async function measureFloor(redis: RedisServer, replicas: number, toggles: number): Promise<number[]> {
  const client = redis.client();
  const children = Array.from({ length: replicas }, (_, index) =>
    fork(join(import.meta.dirname, "bare-replica.ts"), [String(redis.port), `r${index}`]),
  );
  await Promise.all(children.map((child) => once(child, "message")));
  const acks: number[] = [];
  for (let toggle = 0; toggle < toggles; toggle++) {
    const startedAt = performance.now();
    const record = `record ${toggle}`;
    const keys = Array.from({ length: COPIES }, (_, lane) => (lane === 0 ? "floor:record" : `floor:${lane}`));
    await Promise.all(keys.map((key) => client.set(key, record)));
    await client.publish("floor:bus", record);
    const seen = new Set<string>();
    while (seen.size < replicas) {
      for (const [name, followed] of Object.entries(await client.hgetall("floor:acks"))) {
        if (followed !== record || seen.has(name)) continue;
        seen.add(name);
        acks.push(performance.now() - startedAt);
      }
      if (seen.size < replicas) await pause(1);
    }
  }
  await Promise.all(children.map(end));
  return acks;
}

async function end(child: ChildProcess): Promise<void> {
  child.disconnect();
  await once(child, "exit");
}
