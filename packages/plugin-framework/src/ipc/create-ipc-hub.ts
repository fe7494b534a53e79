import { type Clock, systemClock } from "../clock.ts";
import type { ControlRecord } from "../control/control-record.ts";
import { RecordStore } from "../control/record-store.ts";
import { asIpcMessage, type IpcCall, type IpcPort, marked } from "./ipc-port.ts";

/** The primary's side of the IPC bus. */
export interface IpcHub {
  /**
   * Serves one worker until its channel closes; returns the way to stop sooner. Call it for every worker as it starts.
   * One that has exited is no member any more, and nobody waits for its acknowledgement.
   */
  attach(worker: IpcPort): () => void;
  /** Serves no one any more. */
  close(): void;
}

/** Options of {@link createIpcHub}. */
export interface IpcHubOptions {
  readonly clock?: Clock;
}

/**
 * Keeps the control records of one host in the primary process and passes frames between its workers. They last as
 * long as the primary.
 *
 * @example
 * const hub = createIpcHub();
 * cluster.on("fork", (worker) => hub.attach(worker));
 */
export function createIpcHub({ clock = systemClock }: IpcHubOptions = {}): IpcHub {
  const store = new RecordStore(clock);
  const workers = new Map<IpcPort, () => void>();

  const post = (port: IpcPort, message: unknown) => {
    try {
      port.send?.(message, () => undefined);
    } catch {
      // The worker has just gone; its calls go with it.
    }
  };

  const answer = ({ method, args }: IpcCall): unknown => {
    const [first, second, third, fourth] = args;
    switch (method) {
      case "read":
        return (first as string[]).map((scope) => store.read(scope));
      case "scopes":
        return store.scopes();
      case "write":
        return store.write(
          first as string,
          second as ControlRecord,
          third as number,
          (fourth ?? undefined) as number,
        );
      case "publish":
        for (const port of workers.keys()) post(port, marked({ kind: "frame", ...(first as object) }));
        return undefined;
      case "ack":
        return store.ack(first as string, second as string, third as ControlRecord);
      case "acks":
        return store.acks(first as string, second as ControlRecord);
      case "beat":
        return store.beat(first as string);
      case "leave":
        return store.leave(first as string);
      case "members":
        return store.members();
      default:
        throw new Error(`no method "${method}"`);
    }
  };

  return {
    attach(worker) {
      const replicas = new Set<string>();
      const hear = (raw: unknown) => {
        const message = asIpcMessage(raw);
        if (message?.kind !== "call") return;
        if (message.method === "beat") replicas.add(String(message.args[0]));
        try {
          post(worker, marked({ kind: "reply", id: message.id, value: answer(message) }));
        } catch (error) {
          post(worker, marked({ kind: "reply", id: message.id, error: String(error) }));
        }
      };
      const stop = () => {
        worker.off("message", hear);
        workers.delete(worker);
      };
      worker.on("message", hear);
      worker.once?.("disconnect", stop);
      worker.once?.("exit", () => {
        stop();
        for (const replica of replicas) store.leave(replica);
      });
      workers.set(worker, stop);
      return stop;
    },
    close() {
      for (const stop of [...workers.values()]) stop();
    },
  };
}
