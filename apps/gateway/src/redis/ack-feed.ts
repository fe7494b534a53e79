import type { ControlBus } from "@gatewright/plugin-framework";

/** Told who follows a record, as often as somebody asks the bus. */
export type AckListener = (scope: string, rev: number, replicas: readonly string[]) => void;

/** A bus whose questions for acknowledgements can be listened to. */
export interface AckFeed {
  /** Give this one to the pipeline. */
  readonly bus: ControlBus;
  /** Returns how to stop listening. */
  listen(listener: AckListener): () => void;
}

/** Wraps a bus: a switch that waits for acknowledgements asks for them, and what it is told goes to listeners too. */
export function createAckFeed(inner: ControlBus): AckFeed {
  const listeners = new Set<AckListener>();
  const bus: ControlBus = {
    ...inner,
    async acks(scope, record) {
      const replicas = await inner.acks(scope, record);
      for (const listener of listeners) listener(scope, record.rev, replicas);
      return replicas;
    },
  };
  return {
    bus,
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
