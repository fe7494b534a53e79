import type { Keys } from "./keys.ts";
import type { RedisClient, RedisNode } from "./redis-client.ts";
import { runScript } from "./run-script.ts";
import { sweepScript } from "./script.ts";

/** How fast a sweep goes. */
export const SWEEP_KEYS_PER_SECOND = 5_000;
const BATCH = 250;

/**
 * Removes the keys that a wipe emptied: scans for the scope's keys, a batch at a time and no more than 5 000 a
 * second, and unlinks those that the scope's control record calls dead. Returns how many it removed.
 */
export async function sweep(
  client: RedisClient,
  keys: Keys,
  tenant: string | undefined,
  signal: AbortSignal,
): Promise<number> {
  const nodes: readonly RedisNode[] = client.nodes?.("master") ?? [client];
  const pattern = tenant === undefined ? keys.everyState() : keys.statesOf(tenant);
  let removed = 0;
  for (const node of nodes) {
    let cursor = "0";
    do {
      const [next, found] = await node.scan(cursor, "MATCH", pattern, "COUNT", BATCH);
      cursor = next;
      for (const [control, batch] of byControl(keys, tenant, found)) {
        const args = [control, ...batch, tenant === undefined ? "1" : "5"];
        removed += Number(await runScript(client, sweepScript, 1 + batch.length, args));
      }
      await pause((Math.max(found.length, BATCH / 5) / SWEEP_KEYS_PER_SECOND) * 1_000, signal);
    } while (cursor !== "0" && !signal.aborted);
  }
  return removed;
}

/** Groups keys by the control record they are to be compared with, so that each group is in one slot. */
function byControl(keys: Keys, tenant: string | undefined, found: readonly string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const key of found) {
    const lane = /\{l([^}]+)\}/.exec(key)?.[1];
    const control = tenant === undefined ? lane && keys.control(lane) : keys.of(tenant).tenantControl;
    if (!control) continue;
    const group = groups.get(control);
    if (group) group.push(key);
    else groups.set(control, [key]);
  }
  return groups;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms).unref();
    signal.addEventListener("abort", done);
  });
}
