import {
  type Edit,
  type NotificationMessage,
  type RequestMessage,
  type ResponseMessage,
  RPC,
  type Span,
  splice,
  textOf,
} from "@gatewright/mcp-bridge";
import type { UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import { GatewayError } from "../errors.ts";

/** Most questions that a client may leave open. */
const maxQuestions = 100;

/** The answer of a client to a question: raw JSON of its result, or of its error. */
export type ClientAnswer = { readonly result: string } | { readonly error: string };

/** What a client says of the progress that it makes with an upstream's question. */
export interface QuestionProgress {
  readonly upstream: UpstreamSession;
  /** Params of the notification, under the token that the upstream gave. */
  readonly params: Buffer;
}

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

/** Who is told of the answer. */
type Entry =
  | { readonly kind: "own"; readonly take: (answer: ClientAnswer) => void; readonly ended: () => void }
  | {
      readonly kind: "relayed";
      readonly upstream: UpstreamSession;
      readonly idText: string;
      readonly tokenText: string | undefined;
      /** The client's call during which it was asked, by the raw text of its id. */
      readonly call: string | undefined;
      /** Whether that call has ended: some servers wait for the answer all the same. */
      over: boolean;
    };

/** The questions that a client has to answer, by the ids under which it sees them. */
export class Questions {
  readonly #open = new Map<string, Entry>();
  readonly #prefix: string;
  #next = 1;
  #ended = false;

  /** @param epoch which owner of the session asks: the answer to a former one's question is none to one of its own */
  constructor(epoch = 1) {
    this.#prefix = epoch === 1 ? "gw-" : `gw-${epoch}.`;
  }

  /**
   * The bytes under which an upstream's question goes to the client: with an id, and a progress token, of the gateway's,
   * so that what the client says finds its way back. Undefined when too many are open, or answers no longer come here.
   * `call` is the id of the client's request that it is asked during.
   */
  relay(message: RequestMessage, upstream: UpstreamSession, call?: string): Uint8Array | undefined {
    const { bytes, idSpan, spans } = message;
    const { progressToken } = spans;
    const idText = textOf(bytes, idSpan);
    const tokenText = progressToken && textOf(bytes, progressToken);
    const id = this.#add({ kind: "relayed", upstream, idText, tokenText, call, over: false });
    if (id === undefined) return undefined;
    const text = `"${id}"`;
    const edits: Edit[] = [{ ...idSpan, text }];
    if (progressToken !== undefined) edits.push({ ...progressToken, text });
    return splice(
      bytes,
      edits.sort((left, right) => left.start - right.start),
    );
  }

  /** Asks on behalf of the gateway. Undefined when too many are open, or answers no longer come here. */
  ask(method: string, params: string | undefined): OpenQuestion | undefined {
    const { promise, resolve, reject } = Promise.withResolvers<ClientAnswer>();
    promise.catch(() => undefined);
    const ended = () => reject(new GatewayError("outcome_unknown", "the session of this call has ended"));
    const id = this.#add({ kind: "own", take: resolve, ended });
    if (id === undefined) return undefined;
    const rest = params === undefined ? "" : `,"params":${params}`;
    const text = `{"jsonrpc":"2.0","id":"${id}","method":${JSON.stringify(method)}${rest}}`;
    const withdraw = (reason: unknown) => {
      this.#open.delete(id);
      reject(reason);
    };
    return { id, bytes: Buffer.from(text), answer: promise, withdraw };
  }

  /** Takes the client's answer to whoever asked; nobody is told twice. */
  async answer({ id, outcome, bytes, valueSpan }: ResponseMessage): Promise<void> {
    const entry = this.#open.get(String(id));
    if (entry === undefined) return;
    this.#open.delete(String(id));
    const value = textOf(bytes, valueSpan);
    const answer = outcome === "result" ? { result: value } : { error: value };
    if (entry.kind === "own") entry.take(answer);
    else await entry.upstream.respond({ idText: entry.idText, ...answer });
  }

  /** An upstream no longer wants an answer: what the client is told, unless there is no such question. */
  withdraw({ bytes, spans }: NotificationMessage, upstream: UpstreamSession): Uint8Array | undefined {
    const { requestId } = spans;
    if (requestId === undefined) return undefined;
    const idText = textOf(bytes, requestId);
    for (const [id, entry] of this.#open) {
      if (entry.kind !== "relayed" || entry.upstream !== upstream || entry.idText !== idText) continue;
      this.#open.delete(id);
      return splice(bytes, [{ ...requestId, text: `"${id}"` }]);
    }
    return undefined;
  }

  /** Whom a client's `notifications/progress` is for. */
  progress({ bytes, paramsSpan, spans }: NotificationMessage): QuestionProgress | undefined {
    const { notifiedToken } = spans;
    if (notifiedToken === undefined || paramsSpan === undefined) return undefined;
    const entry = this.#open.get(textOf(bytes, notifiedToken).slice(1, -1));
    if (entry?.kind !== "relayed" || entry.tokenText === undefined) return undefined;
    const { start } = paramsSpan;
    const within: Span = { start: notifiedToken.start - start, end: notifiedToken.end - start };
    const params = splice(bytes.subarray(start, paramsSpan.end), [{ ...within, text: entry.tokenText }]);
    return { upstream: entry.upstream, params };
  }

  /** A call of the client has ended. What was asked during it may be answered still, but makes room for others. */
  over(call: string): void {
    if (this.#open.size === 0) return;
    for (const entry of this.#open.values()) {
      if (entry.kind === "relayed" && entry.call === call) entry.over = true;
    }
  }

  /** An upstream's session has ended, and what it asked with it. */
  leave(upstream: UpstreamSession): void {
    for (const [id, entry] of this.#open) {
      if (entry.kind === "relayed" && entry.upstream === upstream) this.#open.delete(id);
    }
  }

  /** Answers no longer come here: whoever waits for one is told so, and nothing more is asked. */
  end(): void {
    this.#ended = true;
    for (const entry of this.#open.values()) {
      if (entry.kind === "own") entry.ended();
      else giveUp(entry, "The session of the client that was asked has ended.");
    }
    this.#open.clear();
  }

  #add(entry: Entry): string | undefined {
    if (this.#ended) return undefined;
    if (this.#open.size >= maxQuestions && !this.#makeRoom()) return undefined;
    const id = `${this.#prefix}${this.#next++}`;
    this.#open.set(id, entry);
    return id;
  }

  /** Gives up the oldest question whose call has ended. */
  #makeRoom(): boolean {
    for (const [id, entry] of this.#open) {
      if (entry.kind === "own" || !entry.over) continue;
      this.#open.delete(id);
      giveUp(entry, "The client has not answered since its call ended.");
      return true;
    }
    return false;
  }
}

/** Tells an upstream that its question will not be answered. */
function giveUp({ upstream, idText }: Extract<Entry, { kind: "relayed" }>, message: string): void {
  const error = JSON.stringify({ code: RPC.internalError, message });
  upstream.respond({ idText, error }).catch(() => undefined);
}
