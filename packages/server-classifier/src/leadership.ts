import type { ClassifierStore } from "./classifier-store.ts";
import type { Clock } from "./clock.ts";
import { ClassifierError } from "./errors.ts";
import { createNap } from "./nap.ts";
import { within } from "./within.ts";

/** What {@link createLeadership} needs. */
export interface LeadershipOptions {
  readonly store: ClassifierStore;
  readonly instanceId: string;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** Called when this instance became leader or ceased to be. */
  readonly onChange: (leader: boolean, epoch: number) => void;
  readonly onError: (error: unknown) => void;
}

/** The lease of one instance. */
export interface Leadership {
  /** True while the lease surely holds, counted from when its renewal was sent. */
  isLeader(): boolean;
  /** The largest epoch seen. */
  epoch(): number;
  start(): void;
  /** Tries now, for example because the leader stopped. */
  poke(): void;
  /** The store refused what was done in this term: a later leader is in office, who may be this one. */
  deposed(term: number): void;
  /** Ends the beat and gives the lease back. */
  stop(): Promise<void>;
}

/** A contender comes back this much after the lease ends, at most, so that not all come at once. */
const SPREAD_MS = 100;

/** Keeps trying for the lease, and renews it while it is held. */
export function createLeadership(options: LeadershipOptions): Leadership {
  const { store, instanceId, leaseMs, heartbeatMs, clock, random } = options;
  const nap = createNap(clock);
  let leaderUntil = Number.NEGATIVE_INFINITY;
  let wasLeader = false;
  let epoch = 0;
  let beating: Promise<void> | undefined;
  let stopping = false;

  const isLeader = () => clock.now() < leaderUntil;
  const note = () => {
    if (isLeader() === wasLeader) return;
    wasLeader = !wasLeader;
    options.onChange(wasLeader, epoch);
  };
  const bounded = <T>(work: Promise<T>) =>
    within(clock, work, heartbeatMs, () => {
      return new ClassifierError("store_timeout", `the store did not answer within ${heartbeatMs} ms`);
    });
  const attempt = async (): Promise<number> => {
    const sentAt = clock.now();
    try {
      const reply = await bounded(store.acquire(instanceId, leaseMs, epoch));
      epoch = Math.max(epoch, reply.epoch);
      leaderUntil = reply.leader ? sentAt + leaseMs : Number.NEGATIVE_INFINITY;
      note();
      return reply.leader ? heartbeatMs : Math.min(leaseMs, reply.expiresInMs) + 1 + random() * SPREAD_MS;
    } catch (error) {
      options.onError(error);
      note();
      return heartbeatMs * (0.5 + random() / 2);
    }
  };
  const beat = async () => {
    while (!stopping) await nap.sleep(await attempt());
  };

  return {
    isLeader,
    epoch: () => epoch,
    start() {
      stopping = false;
      beating ??= beat();
    },
    poke: () => nap.wake(),
    deposed(term) {
      if (term < epoch) return;
      leaderUntil = Number.NEGATIVE_INFINITY;
      note();
    },
    async stop() {
      stopping = true;
      nap.wake();
      await beating;
      beating = undefined;
      const held = isLeader();
      leaderUntil = Number.NEGATIVE_INFINITY;
      note();
      if (held) await bounded(store.release(instanceId)).catch(options.onError);
    },
  };
}
