import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type {
  EvictionNotice,
  OwnershipStats,
  RedisOwnership,
  SessionLocation,
} from "@gatewright/session-pool/redis";
import type { Principal } from "../auth/principal.ts";
import { timeoutHeader } from "../calls/attempt-headers.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { applyHead, forwardPath, sessionHeader } from "./forward-head.ts";
import { Forwarder, type ForwarderOptions } from "./forwarder.ts";
import { keptState } from "./kept-session.ts";
import { readForward } from "./read-forward.ts";
import { foreignSession, noSuchSession, ownerUnreachable, refusalOf, unknownOutcome } from "./refusals.ts";
import { type RelayOutcome, refusedHeader } from "./relay.ts";
import type { EdgeRequest, ForwardedRequest, Replicas } from "./replicas.ts";
import { TakeOvers, type TakeOversParts } from "./take-overs.ts";

/** What replicas over one Redis work with. Times in milliseconds. */
export interface RedisReplicasOptions extends ForwarderOptions, TakeOversParts {
  /** Makes the ownership, once it is known under which URL this replica is reached. */
  readonly own: (
    replica: { readonly instanceId: string; readonly advertiseUrl: string },
    told: {
      readonly onEvict: (notice: EvictionNotice) => void;
      readonly onOwnershipLost: (sessionId: string) => void;
    },
  ) => RedisOwnership;
  /** Told that an upstream may be reached in another way now; without an id, that any may. */
  readonly onUpstreamChanged: (upstreamId: string | undefined) => void;
  readonly bodyBytes: number;
}

type Unreachable = Extract<RelayOutcome, { kind: "unreachable" }>;

/** How often it is asked where a session lives, when that changes meanwhile. */
const maxLooks = 3;
/** How often a request is forwarded: to the owner, and once more when that was not it. */
const maxForwards = 2;
/** How often an owner that works on a forwarded request gives a sign of life. */
const lifeSignMs = 1_000;

/** Sessions have an owner that is recorded in Redis; requests for one go there by HTTP. */
export class RedisReplicas implements Replicas {
  readonly selfId = randomUUID();
  readonly #options: RedisReplicasOptions;
  readonly #forwarder: Forwarder;
  readonly #takeOvers: TakeOvers;
  readonly #started = Promise.withResolvers<RedisOwnership>();
  #ownership: RedisOwnership | undefined;

  constructor(options: RedisReplicasOptions) {
    this.#options = options;
    this.#forwarder = new Forwarder(options);
    this.#takeOvers = new TakeOvers(options);
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
    session.hold = this.#takeOvers.holdOf(ownership, session.id);
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
    const { sessions } = this.#options;
    const { key } = edge.principal;
    const ownership = await this.#started.promise;
    const uncertain = sessions.peek(sessionId) !== undefined;
    let location = await this.#locate(ownership, sessionId, key, uncertain);
    const deadlineMs = performance.now() + this.#forwarder.timeMsOf(edge);
    let forwards = 0;
    for (let looks = 1; looks <= maxLooks && (looks === 1 || performance.now() < deadlineMs); looks++) {
      if (isLeftStream(edge)) return "answered";
      let unreachable: ({ readonly owner: string } & Unreachable) | undefined;
      switch (location.kind) {
        case "foreign":
          throw foreignSession();
        case "unknown":
          throw noSuchSession();
        case "mine":
          // It may be on its way here, or away, this very moment.
          await this.#takeOvers.settled(sessionId);
          if (sessions.peek(sessionId) !== undefined) return "here";
          break;
        case "ownerless":
          if (await this.#takeOvers.take(ownership, sessionId, edge.principal)) return "here";
          break;
        case "remote": {
          if (++forwards > maxForwards) break;
          const outcome = await this.#send(ownership, location, sessionId, edge, deadlineMs);
          if (outcome.kind === "answered") return "answered";
          if (outcome.kind === "unknown") throw unknownOutcome(outcome.cause);
          if (outcome.kind === "unreachable") unreachable = { ...outcome, owner: location.owner };
        }
      }
      location = await this.#locate(ownership, sessionId, key, true);
      if (location.kind === "remote" && location.owner === unreachable?.owner) {
        throw ownerUnreachable(location.deadInMs, unreachable.cause, unreachable.refused);
      }
    }
    throw ownerUnreachable(location.kind === "remote" ? location.deadInMs : 0);
  }

  async forward(ownerId: string, edge: EdgeRequest): Promise<void> {
    const ownership = await this.#started.promise;
    const url = await ownership.whereIs(ownerId).catch((error) => {
      throw refusalOf(error);
    });
    if (url === undefined) throw ownerUnreachable(0);
    const deadlineMs = performance.now() + this.#forwarder.timeMsOf(edge);
    const outcome = await this.#send(ownership, { owner: ownerId, url }, undefined, edge, deadlineMs);
    if (outcome.kind === "unknown") throw unknownOutcome(outcome.cause);
    if (outcome.kind === "unreachable") throw ownerUnreachable(0, outcome.cause, outcome.refused);
    if (outcome.kind === "misdirected") throw ownerUnreachable(0);
  }

  async receive(request: IncomingMessage, response: ServerResponse): Promise<ForwardedRequest | undefined> {
    const ownership = await this.#started.promise;
    const parts = await readForward(request, {
      maxBodyBytes: this.#options.bodyBytes,
      judge: (envelope) => ownership.judge(envelope),
    });
    // What a stranger still has to say is not listened to.
    if (typeof parts === "string") return refuse(response, 403, parts, { connection: "close" });
    const { envelope, body } = parts;
    const session = request.headers[sessionHeader];
    const sessionId = typeof session === "string" ? session : undefined;
    const opened = ownership.open(envelope, sessionId, { method: "POST", path: forwardPath, body });
    if (opened.kind === "refused") {
      return refuse(response, opened.reason === "misaddressed" ? 421 : 403, opened.reason);
    }
    if (opened.kind === "misdirected") return refuse(response, 421, opened.kind);
    const { payload, remainingMs } = opened.claims;
    const forwarded = applyHead(payload, request);
    if (!(await this.#isStillHere(ownership, sessionId, forwarded.principal))) {
      return refuse(response, 421, "misdirected");
    }
    const alive = setInterval(() => {
      if (response.headersSent) clearInterval(alive);
      else response.writeProcessing();
    }, lifeSignMs).unref();
    response.once("close", () => clearInterval(alive));
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
    await this.#forwarder.close();
  }

  async #send(...forward: Parameters<Forwarder["send"]>): Promise<RelayOutcome> {
    const outcome = await this.#forwarder.send(...forward);
    // A replica that lives and takes nothing from this one is no outage: somebody has to mend a setting.
    if (outcome.kind === "unreachable" && outcome.refused !== undefined)
      this.#options.onError(outcome.cause, "another replica refused a forwarded request");
    return outcome;
  }

  /** Whether a forwarded request may be executed: not after a silence in which another replica may have become the owner. */
  async #isStillHere(
    ownership: RedisOwnership,
    sessionId: string | undefined,
    principal: Principal,
  ): Promise<boolean> {
    if (sessionId === undefined || ownership.hold(sessionId)?.certain === true) return true;
    return (await this.#locate(ownership, sessionId, principal.key, true)).kind === "mine";
  }

  async #locate(
    ownership: RedisOwnership,
    sessionId: string,
    principalKey: string,
    fresh: boolean,
  ): Promise<SessionLocation> {
    try {
      return await ownership.locate(sessionId, principalKey, { fresh });
    } catch (error) {
      const held = ownership.hold(sessionId);
      // With Redis away nobody can have taken it over, as far as anybody can tell: what is here goes on.
      if (held !== undefined) return { kind: "mine", epoch: held.epoch, certain: false };
      throw refusalOf(error);
    }
  }
}

/** Whether a stream is for a client that has left: its connection will not end once more, and the stream never would. */
function isLeftStream({ request, response }: EdgeRequest): boolean {
  return request.method === "GET" && response.destroyed;
}

function refuse(
  response: ServerResponse,
  status: number,
  reason: string,
  headers: Readonly<Record<string, string>> = {},
): undefined {
  response.writeHead(status, { [refusedHeader]: reason, "content-length": 0, ...headers }).end();
}
