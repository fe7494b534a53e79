import { createHash } from "node:crypto";
import { type RequestMessage, textOf } from "@gatewright/mcp-bridge";
import type { Bridge } from "@gatewright/mcp-bridge/bridge";
import type { SessionKey, SessionKeys } from "@gatewright/session-pool";
import type { Principal } from "../auth/principal.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import { isShared } from "../upstreams/is-shared.ts";
import { gatewayContext, type SessionContext } from "../upstreams/session-context.ts";
import { credentialUser, hasOwnCredentials } from "../upstreams/user-credentials.ts";
import { legacyClientContext, modernClientContext, type ShowNotification } from "./client-contexts.ts";

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
      return { key, context: { ...modernClientContext(modern, { offer }), shared, user, env } };
    }
    const context =
      session === undefined || shared
        ? gatewayContext
        : legacyClientContext(session, upstream.id, this.#show);
    return { key, context: { ...context, shared, user, env } };
  }
}

/** The user whose own credentials the upstream is shown, or finds in its environment. */
export function ownCredential(upstream: UpstreamRecord, principal: Principal): string | undefined {
  const own = principal.environment !== undefined && upstream.definition.command !== undefined;
  if (!own && upstream.credentials.users === undefined) return undefined;
  const user = credentialUser(principal);
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
