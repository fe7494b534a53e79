import { createIpcHub, type IpcHub } from "@gatewright/plugin-framework/ipc";
import { createMemoryStore } from "@gatewright/server-classifier";
import { acceptedNews } from "./accept-together.ts";
import { asIpcMessage, type IpcEnd, post } from "./ipc-message.ts";
import { NoteBoard } from "./note-board.ts";
import { SessionDirectory } from "./session-directory.ts";

/** Something that answers calls of workers; the name of the worker comes last. */
type Service = Readonly<Record<string, (...args: never[]) => unknown>>;

/**
 * What the primary keeps for its workers while there is no Redis: control records of plugins, what each worker says of
 * them, the classification, and where sessions live. It lasts as long as the primary.
 */
export class WorkerHub {
  readonly #ends = new Map<number, IpcEnd>();
  readonly #control: IpcHub = createIpcHub();
  readonly #classifier = createMemoryStore();
  readonly #sessions = new SessionDirectory({
    tell: (worker, name, data) => this.#tell(worker, name, data),
  });
  readonly #services: Readonly<Record<string, Service>> = {
    notes: new NoteBoard() as unknown as Service,
    sessions: this.#sessions as unknown as Service,
    classifier: this.#classifier as unknown as Service,
    database: { accepted: () => this.broadcast(acceptedNews) },
  };

  constructor() {
    this.#classifier.subscribe((event) => this.broadcast("classifier", event));
  }

  /** Serves a worker until the returned function is called, at its end. */
  attach(worker: number, end: IpcEnd): () => void {
    const detachControl = this.#control.attach(end);
    const hear = (raw: unknown) => {
      const message = asIpcMessage(raw);
      if (message?.kind !== "call") return;
      const { id, service, method, args } = message;
      this.#answer(worker, service, method, args).then(
        (value) => post(end, { kind: "reply", id, value }),
        (error: unknown) =>
          post(end, { kind: "reply", id, error: error instanceof Error ? error.message : String(error) }),
      );
    };
    end.on("message", hear);
    this.#ends.set(worker, end);
    return () => {
      end.off("message", hear);
      detachControl();
      this.#ends.delete(worker);
      this.#sessions.gone(worker);
    };
  }

  /** Tells all workers. */
  broadcast(name: string, data?: unknown): void {
    for (const end of this.#ends.values()) post(end, { kind: "event", name, data });
  }

  async #answer(worker: number, service: string, method: string, args: readonly unknown[]): Promise<unknown> {
    const found = this.#services[service] as Readonly<Record<string, unknown>> | undefined;
    const call = found?.[method];
    if (typeof call !== "function") throw new Error(`there is no ${service}.${method}`);
    return call.call(found, ...args, worker);
  }

  #tell(worker: number | "all", name: string, data: unknown): void {
    const end = worker === "all" ? undefined : this.#ends.get(worker);
    if (worker === "all") this.broadcast(name, data);
    else if (end !== undefined) post(end, { kind: "event", name, data });
  }
}
