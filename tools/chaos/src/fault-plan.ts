import { setTimeout as delay } from "node:timers/promises";
import type { ChaosClient } from "./chaos-client.ts";
import type { ChaosFleet } from "./chaos-fleet.ts";
import type { ChaosUpstream } from "./chaos-upstream.ts";

/** What is done to the system. */
export type FaultKind = "upstream killed" | "replica killed" | "credentials rotated" | "network blackholed";

/** All of them, in the order in which they take turns. */
export const faultKinds: readonly FaultKind[] = [
  "upstream killed",
  "replica killed",
  "credentials rotated",
  "network blackholed",
];

/** A fault that happened. Monotonic milliseconds. */
export interface FaultRecord {
  readonly kind: FaultKind;
  readonly atMs: number;
  /** When what was broken was whole again; a killed replica is not waited for. */
  readonly healedMs: number;
  /** Clients whose sessions a killed replica held; undefined where the fault concerns all. */
  readonly clients?: readonly number[];
}

/** Does one fault and heals it. */
export async function inflict(
  kind: FaultKind,
  turn: number,
  fleet: ChaosFleet,
  upstream: ChaosUpstream,
  clients: readonly ChaosClient[],
  holdMs: number,
): Promise<FaultRecord> {
  let atMs = performance.now();
  let hit: readonly number[] | undefined;
  // Not the replica that was killed last: it has no sessions yet.
  const which = (turn + (kind === "network blackholed" ? 1 : 0)) % fleet.replicas.length;
  const replica = fleet.replicas[which];
  const way = fleet.ways[which];
  if (replica === undefined || way === undefined) throw new Error("the fleet has no replicas");
  switch (kind) {
    case "upstream killed":
      await upstream.kill();
      await delay(Math.min(holdMs, 1_500));
      await upstream.revive();
      break;
    case "replica killed": {
      const held = await fleet.sessionsAt(which);
      hit = clients.flatMap(({ sessionName }, index) => (held.has(sessionName ?? "") ? [index] : []));
      atMs = performance.now();
      await replica.kill();
      await delay(holdMs);
      await replica.restart();
      break;
    }
    case "credentials rotated": {
      const token = `token-${turn}-${Math.random().toString(36).slice(2)}`;
      const retire = upstream.rotate(token);
      await fleet.setToken(token);
      await delay(Math.min(holdMs, 1_000));
      retire();
      break;
    }
    case "network blackholed":
      way.set({ up: { blackhole: true }, down: { blackhole: true } });
      await delay(holdMs);
      way.heal();
      // What was on its way during a partition is lost more often than it comes late.
      way.resetConnections();
      break;
  }
  return { kind, atMs, healedMs: performance.now(), ...(hit && { clients: hit }) };
}
