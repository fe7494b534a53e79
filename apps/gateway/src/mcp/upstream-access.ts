import { createHash } from "node:crypto";
import {
  type JsonObject,
  META,
  type NotificationMessage,
  type RequestMessage,
  RPC,
  textOf,
} from "@gatewright/mcp-bridge";
import { type Bridge, passesLogLevel, readLogLevel } from "@gatewright/mcp-bridge/bridge";
import type { Implementation, UpstreamMessage, UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { SessionKey, SessionKeys } from "@gatewright/session-pool";
import type { Principal } from "../auth/principal.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import { isShared } from "../upstreams/is-shared.ts";
import { gatewayContext, type SessionContext } from "../upstreams/session-context.ts";
import { credentialUser, hasOwnCredentials } from "../upstreams/user-credentials.ts";
import type { Exchange } from "./exchange.ts";

/** Under which key, and on whose behalf, a caller reaches an upstream. */
export interface UpstreamAccess {
  readonly key: SessionKey;
  readonly context: SessionContext;
}

/** Most accesses that are remembered of one caller; clients that call themselves ever differently would add more. */
const maxAccesses = 1_000;

/** Who asks for a session. */
export interface Caller {
  readonly principal: Principal;
  readonly session: DownstreamSession | undefined;
  /** The request of a client that says with each what it is and can. */
  readonly modern?: RequestMessage | undefined;
}

/** What a client with a session gets of a notification that belongs to no call; undefined when it hears it elsewhere. */
export type ShowNotification = (
  session: DownstreamSession,
  upstreamId: string,
  message: NotificationMessage,
) => NotificationMessage | undefined;

/** Makes the keys and contexts of upstream sessions; each once per caller and upstream. */
export class UpstreamAccesses {
  readonly #keys: SessionKeys;
  readonly #bridge: Pick<Bridge, "offer">;
  readonly #show: ShowNotification;
  readonly #byOwner = new WeakMap<object, Map<string, UpstreamAccess>>();

  constructor(keys: SessionKeys, bridge: Pick<Bridge, "offer">, show: ShowNotification) {
    this.#keys = keys;
    this.#bridge = bridge;
    this.#show = show;
  }

  /** The access of a caller to an upstream. */
  of(caller: Caller, upstream: UpstreamRecord): UpstreamAccess {
    const owner = caller.session ?? caller.principal;
    let known = this.#byOwner.get(owner);
    if (known === undefined) {
      known = new Map();
      this.#byOwner.set(owner, known);
    }
    // Whether sessions may be shared is part of the definition, so a change of it makes another key.
    const shared = isShared(upstream, caller.session !== undefined);
    // A session that is opened for a client says what that client is and can; callers that differ have their own.
    const bridged = upstream.self?.era === "modern" ? undefined : caller.modern;
    const profile = bridged && profileOf(bridged);
    // Whose credentials are shown may change while a caller is known.
    const credential = ownCredential(upstream, caller.principal);
    const name = `${upstream.id}/${shared ? "shared" : ""}/${credential ?? ""}/${profile ?? ""}`;
    let access = known.get(name);
    if (access === undefined) {
      const [oldest] = known.keys();
      if (known.size >= maxAccesses && oldest !== undefined) known.delete(oldest);
      access = this.#make(caller, upstream, { shared, profile, credential });
      known.set(name, access);
    }
    return access;
  }

  /** The access of the gateway itself, for listing and checking an upstream; by a user's credentials, if one is named. */
  own(upstream: UpstreamRecord, user?: string): UpstreamAccess {
    const shared = isShared(upstream, false);
    const server = serverOf(upstream, shared);
    const credential = user === undefined ? {} : { credential: user };
    const key = shared
      ? this.#keys.sessionless(server, {}, credential)
      : this.#keys.exclusive(server, { principal: "gatewright" }, credential);
    const context = { ...gatewayContext, shared };
    return { key, context: user === undefined ? context : { ...context, user } };
  }

  /** The keys under which a client's session holds sessions of stateful upstreams. */
  keysOf(session: DownstreamSession): SessionKey[] {
    const all = [...(this.#byOwner.get(session)?.values() ?? [])];
    return all.map((access) => access.key).filter((key) => key.strategy === "downstream");
  }

  #make(
    caller: Caller,
    upstream: UpstreamRecord,
    how: {
      readonly shared: boolean;
      readonly profile: string | undefined;
      readonly credential: string | undefined;
    },
  ): UpstreamAccess {
    const { shared, profile, credential } = how;
    const { principal, session, modern } = caller;
    const key = this.#keys.keyFor(
      serverOf(upstream, shared),
      {
        principal: principal.key,
        ...(principal.tenant === undefined ? {} : { tenant: principal.tenant }),
        ...(session === undefined ? {} : { downstreamSessionId: session.id }),
      },
      {
        ...(profile === undefined ? {} : { era: `legacy for ${profile}` }),
        // What is shared, is shared among those who show the same credentials.
        ...(credential === undefined ? {} : { credential }),
      },
    );
    // The one in the key: credentials that somebody gets while a session is opened are not shown for all who share it.
    const user = credential;
    const env = upstream.definition.command === undefined ? undefined : principal.environment;
    if (profile !== undefined && modern !== undefined) {
      const offer: Bridge["offer"] = (upstream, said) => !shared && this.#bridge.offer(upstream, said);
      return { key, context: { ...modernContext(modern, { offer }), shared, user, env } };
    }
    const context =
      session === undefined || shared ? gatewayContext : contextOf(session, upstream.id, this.#show);
    return { key, context: { ...context, shared, user, env } };
  }
}

/** The user whose own credentials the upstream is shown, or finds in its environment. */
export function ownCredential(upstream: UpstreamRecord, principal: Principal): string | undefined {
  const user = credentialUser(principal);
  const own = principal.environment !== undefined && upstream.definition.command !== undefined;
  return own || hasOwnCredentials(upstream, user) ? user : undefined;
}

function serverOf(upstream: UpstreamRecord, shared: boolean) {
  return {
    id: upstream.id,
    stateless: shared,
    transport: upstream.definition.command === undefined ? "http" : "stdio",
  };
}

/** Longest profile that is used as it is; a longer one by its hash. */
const maxProfileChars = 256;

/** What a client says of itself with a request, as text. */
function profileOf({ bytes, spans }: RequestMessage): string {
  const { clientInfo, clientCapabilities } = spans;
  const info = clientInfo === undefined ? "" : textOf(bytes, clientInfo);
  const text = `${clientCapabilities === undefined ? "" : textOf(bytes, clientCapabilities)} ${info}`;
  return text.length <= maxProfileChars ? text : createHash("sha256").update(text).digest("base64url");
}

/**
 * A session for a client without one: what it says outside a call is offered to the call that runs in it, unless that may
 * be anybody's.
 */
function modernContext(message: RequestMessage, bridge: Pick<Bridge, "offer">): SessionContext {
  const meta = message.params?.["_meta"] as JsonObject;
  const info = meta[META.clientInfo] as Implementation | undefined;
  const capabilities = meta[META.clientCapabilities] as JsonObject;
  return {
    clientInfo: info ?? gatewayContext.clientInfo,
    capabilities,
    streamWaitMs: streamWaitMs(capabilities),
    onMessage: (said, upstream) => {
      if (!bridge.offer(upstream, said)) refuseQuestion(said, upstream);
    },
  };
}

/**
 * Longest wait for the stream on which a server may ask what it does not ask on the stream of a call: a lead over the
 * first call, as many servers send no headers before they have something to say.
 */
const maxStreamWaitMs = 100;

function streamWaitMs(capabilities: JsonObject): number {
  const asked = ["elicitation", "sampling", "roots"].some((key) => capabilities[key] !== undefined);
  return asked ? maxStreamWaitMs : 0;
}

function contextOf(session: DownstreamSession, upstreamId: string, show: ShowNotification): SessionContext {
  return {
    ...session.hello,
    era: "legacy",
    // Behind a plain endpoint it is opened with the handshake, before any call.
    streamWaitMs: session.target.kind === "plain" ? 0 : streamWaitMs(session.hello.capabilities),
    onMessage: (message, upstream) => {
      if (message.kind === "notification") {
        const shown = isWithdrawal(message)
          ? session.questions.withdraw(message, upstream)
          : show(session, upstreamId, message)?.bytes;
        if (shown !== undefined) session.deliver(shown);
        return;
      }
      const bytes = session.questions.relay(message, upstream);
      if (bytes !== undefined) session.deliver(bytes);
      else refuseQuestion(message, upstream);
    },
    // It stays what a next owner would go on with until it is open here, whatever fails meanwhile.
    resume: () => session.resumable.get(upstreamId),
    onUnresumable: () => {
      session.resumable.delete(upstreamId);
    },
    onOpen: async (upstream) => {
      session.opened.set(upstream, upstreamId);
      const resumed = session.resumable.delete(upstreamId);
      const told = tellLogLevel(session, upstream);
      void upstream.closed.then(() => {
        session.opened.delete(upstream);
        session.questions.leave(upstream);
        void session.hold?.save();
      });
      // It is kept already. If its connect were given up for a wait, it would be ended upstream, and its state lost.
      if (resumed) return;
      await told;
      // Before the first call: what is not kept could not be gone on with, and nobody would notice.
      await session.hold?.save();
    },
  };
}

/** Longest wait for an upstream to take a log level; the client's calls matter more. */
const maxTellMs = 1_000;

/** A level that the client set before this upstream's session was opened, on an endpoint of several. */
async function tellLogLevel({ logLevel }: DownstreamSession, upstream: UpstreamSession): Promise<void> {
  if (logLevel === undefined || upstream.era !== "legacy" || !("logging" in upstream.capabilities)) return;
  const params = JSON.stringify({ level: logLevel });
  await upstream
    .request({ method: "logging/setLevel", params }, { timeoutMs: maxTellMs })
    .catch(() => undefined);
}

/** Passes on what an upstream says during a call, or answers for a client that cannot be asked. */
export function relayMessage(
  exchange: Exchange,
  upstreamId: string,
  message: UpstreamMessage,
  upstream: UpstreamSession,
): void {
  const { reply, session, aggregator } = exchange;
  if (message.kind === "notification") {
    if (exchange.era === "modern" && !passesLogLevel(message, logLevelOf(exchange.message))) return;
    if (session !== undefined && isWithdrawal(message)) {
      const told = session.questions.withdraw(message, upstream);
      if (told !== undefined && !reply.message(told)) session.deliver(told);
      return;
    }
    reply.message((aggregator?.exposeNotification(upstreamId, message) ?? message).bytes);
    return;
  }
  const asked = session !== undefined && reply.streamable ? session.questions : undefined;
  const bytes = asked?.relay(message, upstream, exchange.idText);
  if (bytes === undefined || !reply.message(bytes)) refuseQuestion(message, upstream);
}

/** Whether an upstream takes a question back. */
function isWithdrawal({ method }: NotificationMessage): boolean {
  return method === "notifications/cancelled";
}

/** The level of log messages that a stateless client asked for with its request. */
function logLevelOf({ params }: RequestMessage): string | undefined {
  return readLogLevel((params?.["_meta"] as JsonObject | undefined)?.[META.logLevel]);
}

/** Answers a question that no client can be asked. */
function refuseQuestion(message: UpstreamMessage, upstream: UpstreamSession): void {
  if (message.kind !== "request") return;
  const error = JSON.stringify({
    code: RPC.methodNotFound,
    message: "The client of this call cannot be asked.",
  });
  upstream.respond({ idText: textOf(message.bytes, message.idSpan), error }).catch(() => undefined);
}
