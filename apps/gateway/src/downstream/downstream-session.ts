import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { encodeErrorBody, type JsonObject } from "@gatewright/mcp-bridge";
import type { ResumableSession, UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import type { Channel } from "../channels/channel.ts";
import { GatewayError } from "../errors.ts";
import { EndHooks } from "./end-hooks.ts";
import { EventLog, type EventLogLimits, type EventLogTotal } from "./event-log.ts";
import { EventStream } from "./event-stream.ts";
import type { Outbox, Outboxes } from "./outbox.ts";
import { Questions } from "./questions.ts";

/** What a client said of itself in `initialize`. */
export interface ClientHello {
  readonly protocolVersion: string;
  readonly clientInfo: JsonObject & { readonly name: string; readonly version: string };
  readonly capabilities: JsonObject;
}

/** What this replica holds of a session that others may take over. */
export interface SessionHold {
  /** Which owner of the session this replica is, counted from 1. */
  readonly epoch: number;
  /** Whether it still is, as far as that can be told without asking. */
  readonly certain: boolean;
  /** Keeps what another replica would need to go on: what the client wants, and upstream sessions. Never rejects. */
  save(): Promise<void>;
}

/** A session that another replica opened, as it is taken over. */
export interface TakenOver {
  readonly id: string;
  readonly hold: SessionHold;
  /** Upstream sessions to go on with, by upstream. */
  readonly resumable: ReadonlyMap<string, ResumableSession>;
  readonly logLevel: string | undefined;
  readonly subscriptions: ReadonlyMap<string, ReadonlySet<string>>;
  readonly ownSubscriptions: ReadonlyMap<string, ReadonlySet<string>>;
}

/** What a session works with. */
export interface DownstreamSessionOptions {
  /** Unsent bytes of one stream at which its reader is given up. */
  readonly maxBufferedBytes: number;
  /** Bounds of the events kept for resumption. */
  readonly log: EventLogLimits;
  readonly logTotal: EventLogTotal;
  /** Makes what notifications to upstreams go through. */
  readonly outboxes: Outboxes;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly takenOver?: TakenOver;
}

/** The session of a legacy client, bound to its principal and its endpoint. */
export class DownstreamSession {
  readonly id: string;
  readonly principal: Principal;
  readonly target: Target;
  /** Changes once, where a session is opened before its handshake. */
  hello: ClientHello;
  /** Calls in flight by the raw text of their id. */
  readonly calls = new Map<string, AbortController>();
  /** The upstream sessions that were opened for this client, each with the id of its upstream. */
  readonly opened = new Map<UpstreamSession, string>();
  readonly #outboxes = new WeakMap<UpstreamSession, Outbox>();
  /** Monotonic time of the last use, in milliseconds. */
  usedAtMs: number;
  /** Undefined where no other replica can take the session over. */
  hold: SessionHold | undefined;
  /** Upstream sessions of the former owner that were not taken up yet. */
  readonly resumable: Map<string, ResumableSession>;
  /** What the client set by `logging/setLevel`, for upstreams that are told with every request. */
  logLevel: string | undefined;
  /** The resources of upstreams without sessions that the client subscribed to, by upstream. */
  readonly subscriptions: Map<string, Set<string>>;
  /** Those that the client's own upstream sessions have, by upstream. */
  readonly ownSubscriptions: Map<string, Set<string>>;
  /** Run when the session ends here, also when another replica goes on with it. */
  readonly onEnd = new EndHooks();
  readonly questions: Questions;
  readonly #options: DownstreamSessionOptions;
  readonly #log: EventLog;
  /** The client's stream for messages that belong to no call is number 0; answers count from 1. */
  readonly #own: EventStream;
  readonly #answers = new Map<number, EventStream>();
  /** The one connection of a session that lives on it. */
  #channel: Channel | undefined;
  #nextStream = 1;

  constructor(principal: Principal, target: Target, hello: ClientHello, options: DownstreamSessionOptions) {
    this.principal = principal;
    this.target = target;
    this.hello = hello;
    this.id = options.takenOver?.id ?? randomBytes(24).toString("base64url");
    this.hold = options.takenOver?.hold;
    this.resumable = new Map(options.takenOver?.resumable);
    this.logLevel = options.takenOver?.logLevel;
    this.subscriptions = copyOf(options.takenOver?.subscriptions);
    this.ownSubscriptions = copyOf(options.takenOver?.ownSubscriptions);
    this.usedAtMs = options.now();
    this.questions = new Questions(options.takenOver?.hold.epoch);
    this.#options = options;
    this.#log = new EventLog(options.log, options.logTotal, options.now);
    this.#own = this.#stream(0);
  }

  /** What the client's notifications to an upstream session go through. */
  outboxOf(upstream: UpstreamSession): Outbox {
    const known = this.#outboxes.get(upstream);
    if (known !== undefined) return known;
    const { outboxes } = this.#options;
    const made = outboxes.create(this.principal.key, this.opened.get(upstream) ?? "", upstream);
    this.#outboxes.set(upstream, made);
    return made;
  }

  /** Whether the client's stream is open. */
  get streaming(): boolean {
    if (this.#own.attached || this.#channel !== undefined) return true;
    for (const stream of this.#answers.values()) if (stream.attached) return true;
    return false;
  }

  /**
   * Takes the client's stream for messages that belong to no call; a second one replaces the first. Messages that
   * nobody was sent yet come first.
   */
  attach(response: ServerResponse): void {
    this.#own.resume(response);
  }

  /** Whether the session lives on one connection, and ends with it. */
  get bound(): boolean {
    return this.#channel !== undefined;
  }

  /** Binds the session to the one connection that it lives on: messages go there at once, and none is kept. */
  bind(channel: Channel): void {
    this.#channel = channel;
  }

  /** Sends a message that belongs to no call, or keeps it until a stream is open; the oldest are dropped. */
  deliver(message: Uint8Array): void {
    if (this.#channel === undefined) this.#own.send(message);
    else this.#channel.send(message);
  }

  /** Begins the event stream of an answer on the connection of its request. `idText` is the request's id. */
  openAnswer(response: ServerResponse, idText: string): EventStream {
    const number = this.#nextStream++;
    const stream = this.#stream(number, () => lostAnswer(idText));
    this.#forgetAnswers();
    this.#answers.set(number, stream);
    stream.open(response, this.hello.protocolVersion >= "2025-11-25");
    return stream;
  }

  /**
   * How to go on behind an event, for a client that lost its connection. Undefined when nothing is known of it: it is
   * no event of this session, or of a call too long ago.
   */
  resumption(lastEventId: string): ((response: ServerResponse) => void) | undefined {
    const [, epoch, number, sequence] = /^(?:(\d{1,9})\.)?(\d{1,9})-(\d{1,9})$/.exec(lastEventId) ?? [];
    // What a former owner had to say is lost with it; the client's own stream goes on with what comes now.
    if (Number(epoch ?? 1) !== this.#epoch) {
      return number === "0" ? (response) => this.#own.resume(response) : undefined;
    }
    const stream = number === "0" ? this.#own : this.#answers.get(Number(number));
    return stream && ((response) => stream.resume(response, Number(sequence)));
  }

  /** Forgets events that are older. */
  expireEvents(beforeMs: number): void {
    this.#log.expire(beforeMs);
  }

  /** Sends a comment on every open stream, so that nothing on the way takes it for dead. */
  keepAlive(): void {
    this.#own.keepAlive();
    for (const stream of this.#answers.values()) stream.keepAlive();
  }

  /** Ends the stream and asks the client to open it again in a second. */
  endStream(): void {
    this.#own.detach();
  }

  /** Ends the streams and every call. */
  end(): void {
    this.#channel?.end("ended");
    this.endStream();
    for (const call of this.calls.values()) call.abort();
    this.calls.clear();
    this.#free();
    for (const answer of this.#answers.values()) answer.end();
    this.#answers.clear();
  }

  /**
   * Leaves the session to another replica, where its client goes on. Calls in flight are answered on the connections that
   * are open; to what a client says or resumes from now on, the other one answers.
   */
  letGo(): void {
    this.endStream();
    this.#free();
  }

  #free(): void {
    this.onEnd.run();
    this.questions.end();
    this.#log.close();
  }

  get #epoch(): number {
    return this.#options.takenOver?.hold.epoch ?? 1;
  }

  #stream(number: number, lost?: () => string): EventStream {
    const { maxBufferedBytes } = this.#options;
    return new EventStream({
      number,
      // Ids of one owner mean nothing to the next, so that they have to differ.
      prefix: this.#epoch === 1 ? "" : `${this.#epoch}.`,
      log: this.#log,
      maxBufferedBytes,
      ...(lost && { lostAnswer: lost }),
    });
  }

  /** As many answers are known by number as events are kept; those still to come stay. */
  #forgetAnswers(): void {
    if (this.#answers.size < this.#options.log.maxEvents) return;
    for (const [number, stream] of this.#answers) {
      if (!stream.ended) continue;
      this.#answers.delete(number);
      return;
    }
  }
}

/** What a client gets in place of an answer that came while it was away and is no longer kept. */
function lostAnswer(idText: string): string {
  const { code, surface } = new GatewayError("outcome_unknown", "");
  return encodeErrorBody({
    idText,
    code: surface.rpcCode,
    message: "The call has ended, and its answer is no longer kept.",
    data: { code, retryable: false },
  });
}

function copyOf(kept: TakenOver["subscriptions"] = new Map()): Map<string, Set<string>> {
  return new Map([...kept].map(([upstreamId, uris]) => [upstreamId, new Set(uris)]));
}
