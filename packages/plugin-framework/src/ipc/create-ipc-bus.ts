import type { ControlBus, ControlFrame, WriteVerdict } from "../control/control-bus.ts";
import type { ControlRecord } from "../control/control-record.ts";
import { asIpcMessage, type IpcPort, marked } from "./ipc-port.ts";

/** Options of {@link createIpcBus}. */
export interface IpcBusOptions {
  /** The worker's end. Default: `process`. */
  readonly port?: IpcPort;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

const MOST_WAITING = 10_000;

/**
 * The worker's side of a bus over Node's IPC channel: for the cluster workers of one host without Redis. The
 * primary serves it with `createIpcHub`. Calls are answered by the primary, so a hung primary is an unreachable
 * store; the pipeline bounds every wait.
 */
export function createIpcBus({ port = process as IpcPort }: IpcBusOptions = {}): ControlBus {
  const waiting = new Map<number, Waiting>();
  const subscribers = new Set<(frame: ControlFrame) => void>();
  let lastId = 0;

  const hear = (raw: unknown) => {
    const message = asIpcMessage(raw);
    if (message?.kind === "frame") {
      const { scope, rev } = message;
      for (const tell of [...subscribers]) tell({ scope, rev });
      return;
    }
    if (message?.kind !== "reply") return;
    const call = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) call?.resolve(message.value);
    else call?.reject(new Error(message.error));
  };
  const rejectAll = (why: string) => {
    for (const call of waiting.values()) call.reject(new Error(why));
    waiting.clear();
  };
  port.on("message", hear);
  port.once?.("disconnect", () => rejectAll("the IPC channel to the primary is closed"));

  const call = <T>(method: string, ...args: readonly unknown[]): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (port.send === undefined) return reject(new Error("this process has no IPC channel to a primary"));
      if (waiting.size >= MOST_WAITING) return reject(new Error("the primary does not answer"));
      const id = ++lastId;
      waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      port.send(marked({ kind: "call", id, method, args }), (error) => {
        if (error && waiting.delete(id)) reject(error);
      });
    });

  return {
    guarantee: "leased",
    synchronous: false,
    read: async (scopes) => {
      const records = await call<(ControlRecord | null)[]>("read", scopes);
      return records.map((record) => record ?? undefined);
    },
    scopes: () => call("scopes"),
    write: (scope, record, expectedRev, ttlMs) =>
      call<WriteVerdict>("write", scope, record, expectedRev, ttlMs),
    publish: (frame) => call("publish", frame),
    subscribe: async (onFrame) => {
      subscribers.add(onFrame);
      return () => subscribers.delete(onFrame);
    },
    ack: (replica, scope, record) => call("ack", replica, scope, record),
    acks: (scope, record) => call("acks", scope, record),
    beat: async (replica) => ({ known: await call<boolean>("beat", replica) }),
    leave: (replica) => call("leave", replica),
    members: () => call("members"),
    close: async () => {
      port.off("message", hear);
      subscribers.clear();
      rejectAll("the bus is closed");
    },
  };
}
