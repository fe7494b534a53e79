import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type {
  EvictionNotice,
  OwnershipStats,
  RedisOwnership,
  SessionLocation,
} from "@gatewright/session-pool/redis";
import type { Principal } from "../auth/principal.ts";
import { callerTimeoutMs, timeoutHeader } from "../calls/attempt-headers.ts";
import type { DownstreamSession, SessionHold } from "../downstream/downstream-session.ts";
import type { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import { readBody } from "../http/read-body.ts";
import {
  applyHead,
  encodeHead,
  forwardPath,
  joinForward,
  sessionHeader,
  splitForward,
} from "./forward-head.ts";
import { keptState, keptUpstreams, readState } from "./kept-session.ts";
import { Peers } from "./peers.ts";
import {
  brokenStream,
  foreignSession,
  noSuchSession,
  ownerUnreachable,
  refusalOf,
  unknownOutcome,
} from "./refusals.ts";
import { type RelayOutcome, refusedHeader } from "./relay.ts";
import type { EdgeRequest, ForwardedRequest, Replicas } from "./replicas.ts";

/** Where a forwarded request goes. */
interface Addressee {
  readonly owner: string;
  readonly url: string;
  readonly epoch?: number;
}

/** What replicas over one Redis work with. Times in milliseconds. */
export interface RedisReplicasOptions {
  /** Makes the ownership, once it is known under which URL this replica is reached. */
  readonly own: (
    replica: { readonly instanceId: string; readonly advertiseUrl: string },
    told: {
      readonly onEvict: (notice: EvictionNotice) => void;
      readonly onOwnershipLost: (sessionId: string) => void;
    },
  ) => RedisOwnership;
  readonly sessions: DownstreamSessions;
  /** Told of a session that was taken over from another replica. */
  readonly onTakenOver: (session: DownstreamSession) => void;
  /** Told that an upstream may be reached in another way now; without an id, that any may. */
  readonly onUpstreamChanged: (upstreamId: string | undefined) => void;
  readonly connectTimeoutMs: number;
  readonly silenceMs: number;
  readonly streamSilenceMs: number;
  readonly callTimeoutMs: number;
  readonly bodyBytes: number;
  readonly maxBufferedBytes: number;
  /** Told what came of every forwarded request. */
  readonly onForward: (outcome: RelayOutcome["kind"]) => void;
  readonly onError: (error: unknown, what: string) => void;
}

/** Longest envelope: the head of a request, which is bounded by the edge, twice encoded. */
const maxEnvelopeBytes = 262_144;
/** How often it is asked anew where a session lives, when that changes meanwhile. */
const maxAttempts = 3;
/** How often an owner that works on a forwarded request gives a sign of life. */
const lifeSignMs = 1_000;
/** How much longer than a call may take its answer is waited for. */
const graceMs = 2_000;

/** Sessions have an owner that is recorded in Redis; requests for one go there by HTTP. */
export class RedisReplicas implements Replicas {
  readonly selfId = randomUUID();
  readonly #options: RedisReplicasOptions;
  readonly #peers: Peers;
  readonly #started = Promise.withResolvers<RedisOwnership>();
  #ownership: RedisOwnership | undefined;

  constructor(options: RedisReplicasOptions) {
    this.#options = options;
    this.#peers = new Peers(options);
  }

  async start(url: string): Promise<void> {
    const { own, sessions, onUpstreamChanged, onError } = this.#options;
    const ownership = own(
      { instanceId: this.selfId, advertiseUrl: url },
      {
        onOwnershipLost: (id) => sessions.letGo(id),
        onEvict: (notice) => {
          if (notice.kind === "session") sessions.evict(notice.sessionId);
          else onUpstreamChanged(notice.kind === "server" ? notice.serverId : undefined);
        },
      },
    );
    this.#ownership = ownership;
    await ownership.start().catch((error) => onError(error, "owners of sessions are not readable yet"));
    this.#started.resolve(ownership);
  }

  async claim(session: DownstreamSession): Promise<void> {
    const ownership = await this.#started.promise;
    try {
      const state = keptState(session);
      await ownership.claim(session.id, session.principal.key, { state, ownWhenAway: true });
    } catch (error) {
      throw refusalOf(error);
    }
    session.hold = this.#holdOf(ownership, session.id);
  }

  handOver(): void {
    for (const { id } of this.#options.sessions.letIdleGo()) {
      this.#ownership
        ?.release(id)
        .catch((error) => this.#options.onError(error, "a session could not be given back"));
    }
  }

  isHere(sessionId: string): boolean {
    return this.#options.sessions.peek(sessionId)?.hold?.certain === true;
  }

  async route(sessionId: string, edge: EdgeRequest): Promise<"here" | "answered"> {
    const uncertain = this.#options.sessions.peek(sessionId) !== undefined;
    let location = await this.#locate(sessionId, edge, uncertain);
    for (let attempt = 1; attempt <= maxAttempts; attempt++) {
      if (location.kind === "mine") return "here";
      if (location.kind === "foreign") throw foreignSession();
      if (location.kind === "unknown") throw noSuchSession();
      const last: SessionLocation = location;
      let outcome: RelayOutcome | undefined;
      if (last.kind === "remote") {
        outcome = await this.#send(last, sessionId, edge);
        if (outcome.kind === "answered") return "answered";
        if (outcome.kind === "unknown") throw unknownOutcome(outcome.cause);
      } else if (await this.#takeOver(sessionId, edge.principal)) return "here";
      location = await this.#locate(sessionId, edge, true);
      if (outcome?.kind === "unreachable" && location.kind === "remote" && location.owner === last.owner) {
        throw ownerUnreachable(location.deadInMs, outcome.cause);
      }
    }
    throw ownerUnreachable(0);
  }

  async forward(ownerId: string, edge: EdgeRequest): Promise<void> {
    const ownership = await this.#started.promise;
    const url = await ownership.whereIs(ownerId).catch((error) => {
      throw refusalOf(error);
    });
    if (url === undefined) throw ownerUnreachable(0);
    const outcome = await this.#send({ owner: ownerId, url }, undefined, edge);
    if (outcome.kind === "unknown") throw unknownOutcome(outcome.cause);
    if (outcome.kind !== "answered")
      throw ownerUnreachable(0, "cause" in outcome ? outcome.cause : undefined);
  }

  async receive(request: IncomingMessage, response: ServerResponse): Promise<ForwardedRequest | undefined> {
    const ownership = await this.#started.promise;
    const { envelope, body } = splitForward(
      await readBody(request, this.#options.bodyBytes + maxEnvelopeBytes),
    );
    const session = request.headers[sessionHeader];
    const sessionId = typeof session === "string" ? session : undefined;
    const opened = ownership.open(envelope, sessionId, { method: "POST", path: forwardPath, body });
    if (opened.kind !== "accepted") {
      const reason = opened.kind === "refused" ? opened.reason : opened.kind;
      const status = reason === "misdirected" || reason === "misaddressed" ? 421 : 403;
      response.writeHead(status, { [refusedHeader]: reason, "content-length": 0 }).end();
      return undefined;
    }
    const alive = setInterval(() => {
      if (response.headersSent) clearInterval(alive);
      else response.writeProcessing();
    }, lifeSignMs).unref();
    response.once("close", () => clearInterval(alive));
    const { payload, remainingMs } = opened.claims;
    const forwarded = applyHead(payload, request);
    if (remainingMs !== undefined)
      request.headers[timeoutHeader] = String(Math.max(1, Math.floor(remainingMs)));
    return { ...forwarded, body };
  }

  ended({ id, principal, hold }: DownstreamSession): void {
    if (hold === undefined) return;
    this.#ownership
      ?.end(id, principal.key)
      .catch((error) => this.#options.onError(error, "the end of a session could not be told"));
  }

  upstreamChanged(upstreamId: string): void {
    this.#ownership
      ?.serverChanged(upstreamId)
      .catch((error) => this.#options.onError(error, "the change of an upstream could not be told"));
  }

  stats(): OwnershipStats | undefined {
    return this.#ownership?.stats();
  }

  async close(): Promise<void> {
    this.#options.sessions.close();
    await this.#ownership?.close();
    await this.#peers.close();
  }

  /** Makes this replica the owner of a session that has none; false when another one was quicker. */
  async #takeOver(sessionId: string, principal: Principal): Promise<boolean> {
    const ownership = await this.#started.promise;
    const result = await ownership.reclaim(sessionId, principal.key).catch((error) => {
      throw refusalOf(error);
    });
    switch (result.kind) {
      case "lost":
        return false;
      case "alive":
        throw ownerUnreachable(result.deadInMs);
      case "foreign":
        throw foreignSession();
      case "unknown":
      case "unresumable":
        throw noSuchSession();
    }
    const { sessions, onTakenOver } = this.#options;
    const kept = readState(result);
    const hold = this.#holdOf(ownership, sessionId);
    if (hold === undefined) return false;
    try {
      onTakenOver(sessions.open(principal, kept.target, kept.hello, { ...kept, id: sessionId, hold }));
    } catch (error) {
      await ownership.release(sessionId).catch(() => undefined);
      throw error;
    }
    return true;
  }

  #holdOf(ownership: RedisOwnership, sessionId: string): SessionHold | undefined {
    const { sessions, onError } = this.#options;
    const hold = ownership.hold(sessionId);
    if (hold === undefined) return undefined;
    return {
      epoch: hold.epoch,
      get certain() {
        return hold.certain;
      },
      async save() {
        const session = sessions.peek(sessionId);
        if (session === undefined) return;
        await ownership
          .save(sessionId, keptUpstreams(session), keptState(session))
          .catch((error) => onError(error, "what a session needs to go on elsewhere could not be kept"));
      },
    };
  }

  async #locate(sessionId: string, edge: EdgeRequest, fresh: boolean): Promise<SessionLocation> {
    const ownership = await this.#started.promise;
    try {
      return await ownership.locate(sessionId, edge.principal.key, { fresh });
    } catch (error) {
      const held = ownership.hold(sessionId);
      // With Redis away nobody can have taken it over, as far as anybody can tell: what is here goes on.
      if (held !== undefined) return { kind: "mine", epoch: held.epoch, certain: false };
      throw refusalOf(error);
    }
  }

  async #send(to: Addressee, sessionId: string | undefined, edge: EdgeRequest): Promise<RelayOutcome> {
    const ownership = await this.#started.promise;
    const { silenceMs, streamSilenceMs, maxBufferedBytes, onForward } = this.#options;
    const { request, response, body } = edge;
    const remainingMs = request.method === "GET" ? undefined : this.#remainingMs(request);
    const envelope = ownership.sign(to, sessionId, {
      method: "POST",
      path: forwardPath,
      body,
      payload: encodeHead(edge),
      ...(remainingMs === undefined ? {} : { remainingMs }),
    });
    const outcome = await this.#peers.send(
      {
        url: to.url,
        body: joinForward(envelope, body),
        sessionId,
        // The owner ends the call in time, and says so; this is for an owner that does not.
        timeoutMs: remainingMs === undefined ? undefined : remainingMs + graceMs,
      },
      { response, silenceMs, streamSilenceMs, maxBufferedBytes, brokenStream: brokenStream(edge) },
    );
    onForward(outcome.kind);
    return outcome;
  }

  /** How long the client waits, or a call may take. */
  #remainingMs({ headers }: IncomingMessage): number {
    const { callTimeoutMs } = this.#options;
    return Math.min(callTimeoutMs, callerTimeoutMs(headers[timeoutHeader]) ?? callTimeoutMs);
  }
}
