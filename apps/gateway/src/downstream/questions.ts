import { GatewayError } from "../errors.ts";

/** Most questions that a client may leave open. */
const maxQuestions = 100;

/** The answer of a client to a question: raw JSON of its result, or of its error. */
export type ClientAnswer = { readonly result: string } | { readonly error: string };

/** Takes the client's answer to a question. */
export type TakeAnswer = (answer: ClientAnswer) => Promise<void> | void;

/** A question that is put to a client. */
export interface OpenQuestion {
  /** The id under which the client sees it. */
  readonly id: string;
  /** The request for the client. */
  readonly bytes: Uint8Array;
  /** Rejects when the session ends, or the question is withdrawn. */
  readonly answer: Promise<ClientAnswer>;
  /** Waits no longer. */
  withdraw(reason: unknown): void;
}

interface Entry {
  readonly take: TakeAnswer;
  readonly ended?: () => void;
}

/** The questions that a client has to answer, by the ids under which it sees them. */
export class Questions {
  readonly #open = new Map<string, Entry>();
  #next = 1;

  /** Opens one for whoever asked; returns its id, or nothing when too many are open. */
  open(take: TakeAnswer): string | undefined {
    return this.#add({ take });
  }

  /** Asks on behalf of the gateway. Undefined when too many are open. */
  ask(method: string, params: string | undefined): OpenQuestion | undefined {
    const { promise, resolve, reject } = Promise.withResolvers<ClientAnswer>();
    promise.catch(() => undefined);
    const gone = () => reject(new GatewayError("outcome_unknown", "the session of this call has ended"));
    const id = this.#add({ take: resolve, ended: gone });
    if (id === undefined) return undefined;
    const rest = params === undefined ? "" : `,"params":${params}`;
    const text = `{"jsonrpc":"2.0","id":"${id}","method":${JSON.stringify(method)}${rest}}`;
    const withdraw = (reason: unknown) => {
      this.#open.delete(id);
      reject(reason);
    };
    return { id, bytes: Buffer.from(text), answer: promise, withdraw };
  }

  /** What takes the client's answer; each is given out once. */
  take(id: string | number): TakeAnswer | undefined {
    const entry = this.#open.get(String(id));
    this.#open.delete(String(id));
    return entry?.take;
  }

  /** Nobody will answer any more. */
  end(): void {
    for (const { ended } of this.#open.values()) ended?.();
    this.#open.clear();
  }

  #add(entry: Entry): string | undefined {
    if (this.#open.size >= maxQuestions) return undefined;
    const id = `gw-${this.#next++}`;
    this.#open.set(id, entry);
    return id;
  }
}
