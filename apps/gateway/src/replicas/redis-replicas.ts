import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { EvictionNotice, RedisOwnership, SessionLocation } from "@gatewright/session-pool/redis";
import { callerTimeoutMs, timeoutHeader } from "../calls/attempt-headers.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import { GatewayError } from "../errors.ts";
import { readBody } from "../http/read-body.ts";
import {
  applyHead,
  encodeHead,
  forwardPath,
  joinForward,
  sessionHeader,
  splitForward,
} from "./forward-head.ts";
import { Peers } from "./peers.ts";
import { brokenStream, ownerUnreachable, refusalOf, unknownOutcome } from "./refusals.ts";
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
    const { id, principal, hello } = session;
    try {
      const state = { hello: JSON.stringify(hello) };
      await ownership.claim(id, principal.key, { state, ownWhenAway: true });
    } catch (error) {
      throw refusalOf(error);
    }
    session.hold = ownership.hold(id);
  }

  isHere(sessionId: string): boolean {
    return this.#options.sessions.peek(sessionId)?.hold?.certain === true;
  }

  async route(sessionId: string, edge: EdgeRequest): Promise<"here" | "answered"> {
    let location = await this.#locate(sessionId, edge, this.#options.sessions.peek(sessionId) !== undefined);
    for (let attempt = 1; ; attempt++) {
      switch (location.kind) {
        case "mine":
          return "here";
        case "foreign":
          throw new GatewayError("forbidden", "this session belongs to somebody else");
        case "unknown":
        case "ownerless":
          throw new GatewayError("not_found", "there is no such session; initialize again");
      }
      const outcome = await this.#send(location, sessionId, edge);
      if (outcome.kind === "answered") return "answered";
      if (outcome.kind === "unknown") throw unknownOutcome(outcome.cause);
      const { owner, deadInMs } = location;
      location = await this.#locate(sessionId, edge, true);
      const same = location.kind === "remote" && location.owner === owner && outcome.kind === "unreachable";
      if (attempt === 2 || same)
        throw ownerUnreachable(location.kind === "remote" ? location.deadInMs : deadInMs);
    }
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

  async close(): Promise<void> {
    await this.#ownership?.close();
    await this.#peers.close();
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
