import { createHmac, randomUUID } from "node:crypto";
import { SessionPoolError } from "./errors.ts";

/*
 * The isolation rule: sessions are never shared between principals, nor between two downstream sessions of one
 * principal, unless the server is explicitly marked stateless. Keys are made only here, so the rule holds if and
 * only if it holds in this file.
 */

const BRAND: unique symbol = Symbol.for("@gatewright/session-pool/key");

/** How sessions are shared; see {@link SessionKeys}. */
export type SessionStrategy = "downstream" | "identity" | "sessionless" | "exclusive";

/** Names the sessions that may stand in for each other. Opaque: holds nothing but hashes and the server's id. */
export interface SessionKey {
  readonly [BRAND]: true;
  /** Keyed hash over everything that must not be mixed. */
  readonly id: string;
  /** The upstream server, for caps, breaker and usage. */
  readonly serverId: string;
  readonly strategy: SessionStrategy;
  /** For the cap per tenant. */
  readonly tenant?: string;
  /** Hash of the downstream session that owns the upstream session; only for `downstream`. */
  readonly downstream?: string;
  /** Closed after its first lease: a caller without identity. */
  readonly oneShot: boolean;
}

/** The upstream as far as keys are concerned. */
export interface KeyServer {
  readonly id: string;
  /** True only when the operator declared that sessions of this server carry no state. Default false. */
  readonly stateless?: boolean;
  /** Default `http`. */
  readonly transport?: string;
}

/** Who asks. All optional; whoever brings nothing is anonymous and shares nothing. */
export interface KeyCaller {
  /** Stable id of the authenticated principal. */
  readonly principal?: string;
  readonly tenant?: string;
  /** Id of the caller's own session with the gateway, where it has one. */
  readonly downstreamSessionId?: string;
  /** Request headers, from which the configured identity headers are taken. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** The upstream side of a connection that must not be mixed. Fingerprint any secret before or let this do it. */
export interface KeyUpstream {
  /** Whatever tells one upstream credential from another; only its keyed hash is kept. */
  readonly credential?: string;
  /** Whatever tells one TLS identity (client certificate, CA, server name) from another. */
  readonly tls?: string;
  /** Protocol era or revision spoken upstream. */
  readonly era?: string;
}

/** Options of {@link createSessionKeys}. */
export interface SessionKeysOptions {
  /** Key of the HMAC, one per deployment, at least 32 bytes. */
  readonly secret: Uint8Array | string;
  /** Headers that make up an identity, in any case and order. Default: authorization, x-tenant-id, x-user-id, x-api-key, cookie. */
  readonly identityHeaders?: readonly string[];
  /**
   * Takes a stable identity out of a caller, for example the `sub` of its JWT, so that one key survives token
   * rotation. `undefined` means that the caller has none. Replaces the identity headers.
   */
  readonly extractIdentity?: (caller: KeyCaller) => string | undefined;
  /** Lets callers without identity share the sessions of servers marked stateless. Default false. */
  readonly shareAnonymous?: boolean;
  /** Distinguishes gateways that share one secret. Default empty. */
  readonly gateway?: string;
}

/** Builds every kind of key. */
export interface SessionKeys {
  /** Picks the strategy: downstream if the caller has a session, sessionless on stateless servers, else exclusive. */
  keyFor(server: KeyServer, caller: KeyCaller, upstream?: KeyUpstream): SessionKey;
  /** One upstream session per downstream session and server. */
  downstream(server: KeyServer, caller: KeyCaller, upstream?: KeyUpstream): SessionKey;
  /** Shared by all sessions of one identity; only for servers marked stateless. */
  identity(server: KeyServer, caller: KeyCaller, upstream?: KeyUpstream): SessionKey;
  /** Shared by everyone who uses the same credential and TLS identity; only for servers marked stateless. */
  sessionless(server: KeyServer, caller: KeyCaller, upstream?: KeyUpstream): SessionKey;
  /** Per principal, one call at a time; for calls outside any downstream session. */
  exclusive(server: KeyServer, caller: KeyCaller, upstream?: KeyUpstream): SessionKey;
}

const DEFAULT_HEADERS = ["authorization", "x-tenant-id", "x-user-id", "x-api-key", "cookie"];

/** Creates the only builder of {@link SessionKey}. Build a key once per caller and server and keep it: it costs an HMAC. */
export function createSessionKeys(options: SessionKeysOptions): SessionKeys {
  const secret =
    typeof options.secret === "string" ? Buffer.from(options.secret) : Buffer.from(options.secret);
  if (secret.byteLength < 32) {
    throw new SessionPoolError("validation_failed", "the secret of session keys needs at least 32 bytes");
  }
  const identityHeaders = [...new Set((options.identityHeaders ?? DEFAULT_HEADERS).map(lower))].sort();
  const gateway = options.gateway ?? "";

  function hash(parts: readonly (string | undefined)[]): string {
    const mac = createHmac("sha256", secret);
    for (const part of parts) {
      // Length-prefixed, so that no two lists of parts run together; -1 tells "absent" from "empty".
      mac.update(part === undefined ? "-1:" : `${Buffer.byteLength(part)}:`);
      if (part !== undefined) mac.update(part);
    }
    return mac.digest("base64url");
  }

  function identityOf(caller: KeyCaller): string | undefined {
    if (options.extractIdentity) {
      const identity = options.extractIdentity(caller);
      return identity === undefined || identity === "" ? undefined : hash(["extracted", identity]);
    }
    const found = headerValues(caller.headers, identityHeaders);
    if (found.length === 0 && caller.principal === undefined) return undefined;
    return hash(["headers", caller.principal, ...found]);
  }

  function principalOf(caller: KeyCaller): string | undefined {
    return caller.principal === undefined ? identityOf(caller) : hash(["principal", caller.principal]);
  }

  function make(
    strategy: SessionStrategy,
    server: KeyServer,
    caller: KeyCaller,
    parts: readonly (string | undefined)[],
    extra: { downstream?: string; oneShot?: boolean } = {},
  ): SessionKey {
    const unique = extra.oneShot === true ? randomUUID() : undefined;
    const id = `${strategy[0]}.${hash([strategy, gateway, server.id, server.transport ?? "http", caller.tenant, unique, ...parts])}`;
    return Object.freeze({
      [BRAND]: true as const,
      id,
      serverId: server.id,
      strategy,
      ...(caller.tenant === undefined ? {} : { tenant: caller.tenant }),
      ...(extra.downstream === undefined ? {} : { downstream: extra.downstream }),
      oneShot: extra.oneShot ?? false,
    });
  }

  function demandStateless(server: KeyServer, strategy: SessionStrategy): void {
    if (server.stateless === true) return;
    throw new SessionPoolError(
      "validation_failed",
      `strategy ${strategy} shares sessions and is only for servers marked stateless`,
      { details: { serverId: server.id, strategy } },
    );
  }

  const anonymous = (who: string | undefined) => who === undefined && options.shareAnonymous !== true;

  const keys: SessionKeys = {
    keyFor(server, caller, upstream) {
      if (server.stateless === true) return keys.sessionless(server, caller, upstream);
      if (caller.downstreamSessionId !== undefined) return keys.downstream(server, caller, upstream);
      return keys.exclusive(server, caller, upstream);
    },
    downstream(server, caller, upstream = {}) {
      if (caller.downstreamSessionId === undefined) {
        throw new SessionPoolError("validation_failed", "strategy downstream needs a downstream session");
      }
      const downstream = hash(["downstream", caller.downstreamSessionId]);
      return make("downstream", server, caller, [downstream, principalOf(caller), upstream.era], {
        downstream,
      });
    },
    identity(server, caller, upstream = {}) {
      demandStateless(server, "identity");
      const who = identityOf(caller);
      return make("identity", server, caller, [caller.principal, who, upstream.tls, upstream.era], {
        oneShot: anonymous(who),
      });
    },
    sessionless(server, _caller, upstream = {}) {
      demandStateless(server, "sessionless");
      return make("sessionless", server, {}, [upstream.credential, upstream.tls, upstream.era]);
    },
    exclusive(server, caller, upstream = {}) {
      const who = principalOf(caller);
      return make("exclusive", server, caller, [who, upstream.credential, upstream.tls, upstream.era], {
        oneShot: who === undefined,
      });
    },
  };
  return keys;
}

/** True for keys that {@link createSessionKeys} made, also in another copy of this package. */
export function isSessionKey(value: unknown): value is SessionKey {
  return typeof value === "object" && value !== null && (value as { [BRAND]?: unknown })[BRAND] === true;
}

const lower = (name: string) => name.toLowerCase();

function headerValues(headers: KeyCaller["headers"], wanted: readonly string[]): string[] {
  const byName = new Map<string, string>();
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (value !== undefined && value.length > 0)
      byName.set(lower(name), typeof value === "string" ? value : value.join("\n"));
  }
  return wanted.flatMap((name) => {
    const value = byName.get(name);
    return value === undefined ? [] : [`${name}=${value}`];
  });
}
