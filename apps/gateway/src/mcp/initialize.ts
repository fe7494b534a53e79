import {
  encodeResultBody,
  type JsonObject,
  negotiateLegacy,
  type RequestMessage,
  textOf,
  WireError,
} from "@gatewright/mcp-bridge";
import type { Bridge } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { Principal } from "../auth/principal.ts";
import { failureOf } from "../calls/call-failure.ts";
import type { Target } from "../calls/target.ts";
import type { ClientHello, DownstreamSession } from "../downstream/downstream-session.ts";
import type { DownstreamSessions } from "../downstream/downstream-sessions.ts";
import type { Replicas } from "../replicas/replicas.ts";
import { gatewayIdentity } from "../upstreams/gateway-identity.ts";
import { isShared } from "../upstreams/is-shared.ts";
import { type AggregateDeps, mergedCapabilities } from "./aggregate-endpoint.ts";
import { upstreamOf } from "./plain-endpoint.ts";

/** The answer to `initialize`, and the session that it opened. */
export interface Initialized {
  readonly body: string;
  readonly session: DownstreamSession;
}

/**
 * Opens a session for a legacy client. Behind a plain endpoint the upstream's session is opened at once, for the
 * client's own revision and capabilities, and its answer goes back unchanged.
 */
export async function initialize(
  deps: AggregateDeps & { readonly sessions: DownstreamSessions; readonly replicas: Replicas },
  request: {
    readonly principal: Principal;
    readonly target: Target;
    readonly message: RequestMessage;
    readonly idText: string;
    /** A session that was opened before its client said anything; it outlives a handshake that fails. */
    readonly session?: DownstreamSession;
    /** The session lives on one connection and has no name that requests could bear. */
    readonly private?: boolean;
  },
): Promise<Initialized> {
  const { principal, target, message, idText } = request;
  const hello = helloOf(message);
  const session = request.session ?? deps.sessions.open(principal, target, hello);
  session.hello = hello;
  try {
    if (request.private !== true) await deps.replicas.claim(session);
    const result =
      target.kind === "plain"
        ? await upstreamHandshake(deps, { principal, session, upstreamId: target.upstreamId })
        : await aggregateHandshake(deps, session);
    return { body: encodeResultBody(idText, JSON.stringify(result)), session };
  } catch (error) {
    if (request.session === undefined) deps.sessions.end(session);
    throw error;
  }
}

/** The handshake of an endpoint of several upstreams; the client is told of changes of their lists. */
async function aggregateHandshake(deps: AggregateDeps, session: DownstreamSession): Promise<JsonObject> {
  const result = await ownHandshake(deps, session.target, session.hello);
  deps.listening.followLists(session);
  return result;
}

/** The gateway's own answer to `initialize`, for an endpoint of several upstreams. */
export async function ownHandshake(
  deps: AggregateDeps,
  target: Target,
  hello: ClientHello,
): Promise<JsonObject> {
  await deps.catalogueReady();
  return {
    protocolVersion: hello.protocolVersion,
    capabilities: mergedCapabilities(deps, target),
    serverInfo: gatewayIdentity,
  };
}

/**
 * What a client says of itself, with gaps filled in.
 *
 * @throws {WireError} `invalid_params` when it names no revision, or something is not of its type
 */
export function helloOf(message: RequestMessage): ClientHello {
  const { protocolVersion, clientInfo, capabilities } = message.params ?? {};
  const refuse = (text: string) => {
    throw new WireError("invalid_params", text, { idText: textOf(message.bytes, message.idSpan) });
  };
  if (typeof protocolVersion !== "string") refuse("params.protocolVersion has to be a string");
  for (const [key, value] of Object.entries({ clientInfo, capabilities })) {
    if (value !== undefined && !isObject(value)) refuse(`params.${key} has to be an object`);
  }
  const info = isObject(clientInfo) ? clientInfo : {};
  return {
    protocolVersion: negotiateLegacy(protocolVersion),
    clientInfo: { name: "unknown", version: "0", ...info },
    capabilities: isObject(capabilities) ? capabilities : {},
  };
}

async function upstreamHandshake(
  deps: AggregateDeps,
  caller: {
    readonly principal: Principal;
    readonly session: ReturnType<DownstreamSessions["open"]>;
    readonly upstreamId: string;
  },
): Promise<JsonObject> {
  const upstream = upstreamOf(deps, caller.upstreamId);
  const { key, context } = deps.accesses.of(caller, upstream);
  const request = { method: "initialize", upstream, tenant: caller.principal.tenant };
  try {
    await using lease = await deps.retries.run(request, ({ signal }) =>
      deps.pool.acquire(key, signal === undefined ? { context } : { context, signal }),
    );
    const shared = isShared(upstream, true);
    // What a session of its own hears, it hears there.
    if (shared || lease.session.era === "modern") deps.listening.followLists(caller.session);
    return handshakeOf(deps.bridge, lease.session, caller.session.hello, shared);
  } catch (error) {
    throw failureOf(error, upstream.name);
  }
}

function handshakeOf(
  bridge: Bridge,
  upstream: UpstreamSession,
  hello: ClientHello,
  shared: boolean,
): JsonObject {
  if (upstream.era === "modern") return bridge.initializeResult(upstream, hello.protocolVersion);
  return shared ? { ...upstream.handshake, protocolVersion: hello.protocolVersion } : upstream.handshake;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
