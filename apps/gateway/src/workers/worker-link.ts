import type { ControlBus } from "@gatewright/plugin-framework";
import { createIpcBus, type IpcPort } from "@gatewright/plugin-framework/ipc";
import type { ClassifierStore, StoreEvent } from "@gatewright/server-classifier";
import type { NoteStore } from "../redis/note-store.ts";
import type { IpcEnd } from "./ipc-message.ts";
import { PrimaryLink } from "./primary-link.ts";

/** This process as one of several workers of a host. */
export interface WorkerLink {
  /** From 1. Worker 1 leads. */
  readonly index: number;
  readonly count: number;
  readonly primary: PrimaryLink;
  /** Control records in the primary. */
  readonly bus: () => ControlBus;
  readonly notes: NoteStore;
  /** The classification in the primary; only worker 1 ever leads it. */
  readonly classifierStore: () => ClassifierStore;
}

/** Links a worker to its primary over its end of the channel, `process` by default. */
export function createWorkerLink(
  index: number,
  count: number,
  end: IpcEnd & IpcPort = process as IpcEnd & IpcPort,
): WorkerLink {
  const primary = new PrimaryLink(end);
  return {
    index,
    count,
    primary,
    bus: () => createIpcBus({ port: end }),
    notes: {
      put: (name, text) => primary.call("notes", "put", name, text),
      get: (names) => primary.call("notes", "get", names),
      drop: (name) => primary.call("notes", "drop", name),
    },
    classifierStore: () => classifierStore(primary, index === 1),
  };
}

function classifierStore(primary: PrimaryLink, leads: boolean): ClassifierStore {
  const call = <T>(method: string, ...args: readonly unknown[]) =>
    primary.call<T>("classifier", method, ...args);
  const stops = new Set<() => void>();
  return {
    acquire: async (instanceId, leaseMs, epochSeen) => {
      if (leads) return call("acquire", instanceId, leaseMs, epochSeen);
      const { now } = await call<{ readonly now: number }>("read");
      return { leader: false, epoch: epochSeen, expiresInMs: leaseMs, now };
    },
    release: (instanceId) => call("release", instanceId),
    report: (report) => call("report", report),
    collect: () => call("collect"),
    publish: (publication) => call("publish", publication),
    read: () => call("read"),
    claim: (requests, limit) => call("claim", requests, limit),
    finish: (records) => call("finish", records),
    subscribe(listener) {
      const stop = primary.on("classifier", (event) => listener(event as StoreEvent));
      stops.add(stop);
      return stop;
    },
    async close() {
      for (const stop of stops) stop();
    },
  };
}
