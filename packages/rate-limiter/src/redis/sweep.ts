import type { Keys } from "./keys.ts";
import type { RedisClient, RedisNode } from "./redis-client.ts";
import { runScript } from "./run-script.ts";
import { sweepScript } from "./script.ts";
import { SweepTurn } from "./sweep-turn.ts";

/** How fast a sweep goes. */
export const SWEEP_KEYS_PER_SECOND = 5_000;
const BATCH = 250;

/**
 * Removes the keys that a wipe emptied, of one tenant or all, and what other replicas ask for meanwhile; when another
 * replica is at it, the request falls to that one. Yields the number of keys removed, batch by batch.
 */
export async function* sweepInTurn(
  client: RedisClient,
  keys: Keys,
  tenant: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<number> {
  const turn = new SweepTurn(client, keys);
  try {
    let scopes = await turn.ask([tenant]);
    while (scopes.length > 0 && !signal.aborted) {
      let held = true;
      for (let i = 0; i < scopes.length && held; i++) {
        for await (const removed of sweep(client, keys, scopes[i], signal)) {
          yield removed;
          held = await turn.keep();
          if (!held) break;
        }
      }
      scopes = await (held ? turn.next() : turn.ask(scopes));
    }
  } finally {
    await turn.end().catch(() => {});
  }
}

/**
 * Scans for the keys of a scope, a batch at a time and no more than 5 000 a second, and unlinks those that the scope's
 * control record calls dead.
 */
async function* sweep(
  client: RedisClient,
  keys: Keys,
  tenant: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<number> {
  const nodes: readonly RedisNode[] = client.nodes?.("master") ?? [client];
  const pattern = tenant === undefined ? keys.everyState() : keys.statesOf(tenant);
  for (const node of nodes) {
    let cursor = "0";
    do {
      const [next, found] = await node.scan(cursor, "MATCH", pattern, "COUNT", BATCH);
      cursor = next;
      let removed = 0;
      for (const [control, batch] of byControl(keys, tenant, found)) {
        const args = [control, ...batch, tenant === undefined ? "1" : "5"];
        removed += Number(await runScript(client, sweepScript, 1 + batch.length, args));
      }
      yield removed;
      await pause((Math.max(found.length, BATCH / 5) / SWEEP_KEYS_PER_SECOND) * 1_000, signal);
      if (signal.aborted) return;
    } while (cursor !== "0");
  }
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
