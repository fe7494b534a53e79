import { type Clock, systemClock } from "../clock.ts";
import type { ControlBus, ControlFrame } from "./control-bus.ts";
import { RecordStore } from "./record-store.ts";

/** Options of {@link createInProcessBus}. */
export interface InProcessBusOptions {
  readonly clock?: Clock;
}

/**
 * A bus for one process: records in memory, frames delivered before `publish` resolves. Several pipelines of the
 * process may share one. Overrides last as long as the bus; a host that keeps them in its registry seeds the
 * pipeline with them.
 */
export function createInProcessBus({ clock = systemClock }: InProcessBusOptions = {}): ControlBus {
  const store = new RecordStore(clock);
  const subscribers = new Set<(frame: ControlFrame) => void>();
  const tell = (frame: ControlFrame) => {
    for (const subscriber of [...subscribers]) subscriber(frame);
  };
  return {
    guarantee: "fenced",
    synchronous: true,
    read: async (scopes) => scopes.map((scope) => store.read(scope)),
    scopes: async () => store.scopes(),
    write: async (scope, record, expectedRev, ttlMs) => {
      const verdict = store.write(scope, record, expectedRev, ttlMs);
      if (verdict.written) tell({ scope, rev: record.rev });
      return verdict;
    },
    publish: async (frame) => tell(frame),
    subscribe: async (onFrame) => {
      subscribers.add(onFrame);
      return () => subscribers.delete(onFrame);
    },
    ack: async (replica, scope, record) => store.ack(replica, scope, record),
    acks: async (scope, record) => store.acks(scope, record),
    beat: async (replica) => ({ known: store.beat(replica) }),
    leave: async (replica) => store.leave(replica),
    members: async () => store.members(),
    close: async () => {
      subscribers.clear();
    },
  };
}
