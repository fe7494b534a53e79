import { GatewayError } from "../errors.ts";
import { asIpcMessage, type IpcEnd, post } from "./ipc-message.ts";

/** Longest wait for the primary, which answers from memory. */
const timeoutMs = 2_000;
/** Most calls that may wait. */
const maxWaiting = 10_000;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** A worker's calls to what its primary keeps for all workers, and what the primary tells. */
export class PrimaryLink {
  readonly #end: IpcEnd;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Map<string, Set<(data: unknown) => void>>();
  readonly #hear = (raw: unknown) => this.#take(raw);
  #lastId = 0;

  constructor(end: IpcEnd) {
    this.#end = end;
    end.on("message", this.#hear);
  }

  /**
   * Has a service of the primary do something.
   *
   * @throws {GatewayError} `backend_unavailable` when it does not answer in time
   */
  call<T>(service: string, method: string, ...args: readonly unknown[]): Promise<T> {
    if (this.#waiting.size >= maxWaiting) return Promise.reject(away("too many calls wait"));
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(away(`no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject, timer });
      post(this.#end, { kind: "call", id, service, method, args });
    });
  }

  /** Tells the primary something that has no answer. */
  tell(name: string, data?: unknown): void {
    post(this.#end, { kind: "event", name, data });
  }

  /** Listens to what the primary tells; returns how to stop. */
  on(name: string, listener: (data: unknown) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Ends all waiting. */
  close(): void {
    this.#end.off("message", this.#hear);
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(away("the link is closed"));
    }
    this.#waiting.clear();
  }

  #take(raw: unknown): void {
    const message = asIpcMessage(raw);
    if (message?.kind === "event") {
      for (const listener of this.#listeners.get(message.name) ?? []) listener(message.data);
      return;
    }
    if (message?.kind !== "reply") return;
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    this.#waiting.delete(message.id);
    clearTimeout(waiting.timer);
    if (message.error === undefined) waiting.resolve(message.value);
    else waiting.reject(away(message.error));
  }
}

function away(reason: string): GatewayError {
  return new GatewayError("backend_unavailable", "the primary process does not serve this worker", {
    details: { reason },
    retryAfterMs: 1_000,
  });
}
