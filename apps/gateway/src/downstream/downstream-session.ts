import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { encodeSse, type JsonObject, splice, textOf } from "@gatewright/mcp-bridge";
import type { UpstreamMessage, UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";

/** Most messages kept for a client whose stream is not open. */
const maxBacklog = 100;
/** Most questions of upstreams that a client may leave open. */
const maxQuestions = 100;

/** What a client said of itself in `initialize`. */
export interface ClientHello {
  readonly protocolVersion: string;
  readonly clientInfo: JsonObject & { readonly name: string; readonly version: string };
  readonly capabilities: JsonObject;
}

/** A question of an upstream that the client has to answer. */
interface Question {
  readonly session: UpstreamSession;
  readonly idText: string;
}

/** The session of a legacy client, bound to its principal and its endpoint. */
export class DownstreamSession {
  readonly id = randomBytes(24).toString("base64url");
  readonly principal: Principal;
  readonly target: Target;
  readonly hello: ClientHello;
  /** Calls in flight by the raw text of their id. */
  readonly calls = new Map<string, AbortController>();
  /** The upstream sessions that were opened for this client. */
  readonly opened = new Set<UpstreamSession>();
  /** Monotonic time of the last use, in milliseconds. */
  usedAtMs: number;
  readonly #questions = new Map<string, Question>();
  readonly #backlog: Uint8Array[] = [];
  readonly #maxBufferedBytes: number;
  #stream: ServerResponse | undefined;
  #nextQuestion = 1;

  constructor(
    principal: Principal,
    target: Target,
    hello: ClientHello,
    options: { readonly nowMs: number; readonly maxBufferedBytes: number },
  ) {
    this.principal = principal;
    this.target = target;
    this.hello = hello;
    this.usedAtMs = options.nowMs;
    this.#maxBufferedBytes = options.maxBufferedBytes;
  }

  /** Whether the client's stream is open. */
  get streaming(): boolean {
    return this.#stream !== undefined;
  }

  /** Takes the client's stream for messages that belong to no call; a second one replaces the first. */
  attach(response: ServerResponse): void {
    this.#stream?.end();
    this.#stream = response;
    for (const message of this.#backlog.splice(0))
      response.write(encodeSse({ event: "message", data: message }));
    response.once("close", () => {
      if (this.#stream === response) this.#stream = undefined;
    });
  }

  /** Sends a message that belongs to no call, or keeps it until a stream is open; the oldest are dropped. */
  deliver(message: Uint8Array): void {
    const stream = this.#stream;
    if (stream === undefined) {
      if (this.#backlog.length >= maxBacklog) this.#backlog.shift();
      this.#backlog.push(message);
      return;
    }
    stream.write(encodeSse({ event: "message", data: message }));
    if (stream.writableLength > this.#maxBufferedBytes) stream.destroy();
  }

  /**
   * The bytes under which an upstream's message goes to the client: a notification as it is, a question under
   * an id of this session, so that the answer finds its way back. Undefined when too many are open.
   */
  outgoing(message: UpstreamMessage, session: UpstreamSession): Uint8Array | undefined {
    if (message.kind === "notification") return message.bytes;
    if (this.#questions.size >= maxQuestions) return undefined;
    const id = `gw-${this.#nextQuestion++}`;
    this.#questions.set(id, { session, idText: textOf(message.bytes, message.idSpan) });
    return splice(message.bytes, [{ ...message.idSpan, text: `"${id}"` }]);
  }

  /** The upstream session and id to which a client's answer belongs; each is given out once. */
  takeQuestion(id: string | number): Question | undefined {
    const question = this.#questions.get(String(id));
    this.#questions.delete(String(id));
    return question;
  }

  /** Ends the stream and asks the client to open it again in a second. */
  endStream(): void {
    this.#stream?.end(encodeSse({ retry: 1_000 }));
    this.#stream = undefined;
  }

  /** Ends the stream and every call. */
  end(): void {
    this.endStream();
    for (const call of this.calls.values()) call.abort();
    this.calls.clear();
    this.#questions.clear();
  }
}
