import { RPC, textOf } from "@gatewright/mcp-bridge";
import type { UpstreamMessage, UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { SessionKey, SessionKeys } from "@gatewright/session-pool";
import type { Principal } from "../auth/principal.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import { gatewayContext, type SessionContext } from "../upstreams/session-context.ts";
import type { Exchange } from "./exchange.ts";

/** Under which key, and on whose behalf, a caller reaches an upstream. */
export interface UpstreamAccess {
  readonly key: SessionKey;
  readonly context: SessionContext;
}

/** Makes the keys and contexts of upstream sessions; each once per caller and upstream. */
export class UpstreamAccesses {
  readonly #keys: SessionKeys;
  readonly #byOwner = new WeakMap<object, Map<string, UpstreamAccess>>();

  constructor(keys: SessionKeys) {
    this.#keys = keys;
  }

  /** The access of a caller to an upstream. */
  of(
    caller: { readonly principal: Principal; readonly session: DownstreamSession | undefined },
    upstream: UpstreamRecord,
  ): UpstreamAccess {
    const owner = caller.session ?? caller.principal;
    let known = this.#byOwner.get(owner);
    if (known === undefined) {
      known = new Map();
      this.#byOwner.set(owner, known);
    }
    // Whether sessions may be shared is part of the definition, so a change of it makes another key.
    const shared = isShared(upstream, caller.session !== undefined);
    const name = shared ? `${upstream.id}/shared` : upstream.id;
    let access = known.get(name);
    if (access === undefined) {
      access = this.#make(caller, upstream, shared);
      known.set(name, access);
    }
    return access;
  }

  /** The access of the gateway itself, for listing and checking an upstream. */
  own(upstream: UpstreamRecord): UpstreamAccess {
    const shared = isShared(upstream, false);
    const server = serverOf(upstream, shared);
    const key = shared
      ? this.#keys.sessionless(server, {})
      : this.#keys.exclusive(server, { principal: "gatewright" });
    return { key, context: gatewayContext };
  }

  /** The keys under which a client's session holds sessions of stateful upstreams. */
  keysOf(session: DownstreamSession): SessionKey[] {
    const all = [...(this.#byOwner.get(session)?.values() ?? [])];
    return all.map((access) => access.key).filter((key) => key.strategy === "downstream");
  }

  #make(
    caller: { readonly principal: Principal; readonly session: DownstreamSession | undefined },
    upstream: UpstreamRecord,
    shared: boolean,
  ): UpstreamAccess {
    const { principal, session } = caller;
    const key = this.#keys.keyFor(serverOf(upstream, shared), {
      principal: principal.key,
      ...(principal.tenant === undefined ? {} : { tenant: principal.tenant }),
      ...(session === undefined ? {} : { downstreamSessionId: session.id }),
    });
    return {
      key,
      context: session === undefined || shared ? gatewayContext : contextOf(session, upstream.id),
    };
  }
}

/**
 * Whether one session of the upstream may serve several callers: it was declared so, or it speaks a revision without
 * sessions to callers that have none either.
 */
export function isShared({ definition, self }: UpstreamRecord, inSession: boolean): boolean {
  if (definition.command !== undefined && definition.child === "shared") return true;
  return definition.stateless || (!inSession && self?.era === "modern");
}

function serverOf(upstream: UpstreamRecord, shared: boolean) {
  return {
    id: upstream.id,
    stateless: shared,
    transport: upstream.definition.command === undefined ? "http" : "stdio",
  };
}

function contextOf(session: DownstreamSession, upstreamId: string): SessionContext {
  return {
    ...session.hello,
    era: "legacy",
    onMessage: (message, upstream) => {
      const bytes = session.outgoing(message, upstream);
      if (bytes !== undefined) session.deliver(bytes);
      else refuseQuestion(message, upstream);
    },
    resume: () => {
      const resumable = session.resumable.get(upstreamId);
      session.resumable.delete(upstreamId);
      return resumable;
    },
    onOpen: async (upstream) => {
      session.opened.set(upstream, upstreamId);
      void upstream.closed.then(() => {
        session.opened.delete(upstream);
        void session.hold?.save();
      });
      // Before the first call: what is not kept could not be gone on with, and nobody would notice.
      await session.hold?.save();
    },
  };
}

/** Passes on what an upstream says during a call, or answers for a client that cannot be asked. */
export function relayMessage(exchange: Exchange, message: UpstreamMessage, upstream: UpstreamSession): void {
  const { reply, session } = exchange;
  if (message.kind === "notification") {
    reply.message(message.bytes);
    return;
  }
  const bytes = session !== undefined && reply.streamable ? session.outgoing(message, upstream) : undefined;
  if (bytes === undefined || !reply.message(bytes)) refuseQuestion(message, upstream);
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
