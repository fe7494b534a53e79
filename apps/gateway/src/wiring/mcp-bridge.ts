import { isIP } from "node:net";
import { type Bridge, createBridge } from "@gatewright/mcp-bridge/bridge";
import { createHttpUpstream, createStdioUpstream, type Upstream } from "@gatewright/mcp-bridge/upstream";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { UpstreamDefinition, UpstreamRecord } from "../registry/records.ts";
import type { GatewaySecret } from "../secret/gateway-secret.ts";
import { guardedLookup } from "../upstreams/address-guard.ts";
import { candidatesOf } from "../upstreams/candidates.ts";
import { firstThatAnswers } from "../upstreams/first-that-answers.ts";
import { hopHeader } from "../upstreams/hop.ts";
import type { ConnectionEra } from "../upstreams/live-upstreams.ts";

/** The translator between the two families of revisions. `replica` names this process to the others. */
export function wireBridge(config: GatewayConfig["bridge"], secret: GatewaySecret, replica: string): Bridge {
  const [current, ...previousSecrets] = secret.accepted("state");
  const { parkedTtlMs, maxParked, maxParkedPerPrincipal } = config;
  return createBridge({
    secret: current ?? secret.key("state"),
    previousSecrets,
    replica,
    parkedTtlMs,
    maxParked,
    maxParkedPerPrincipal,
  });
}

/** What an upstream connection needs beside its record. */
export interface UpstreamWiring {
  readonly bridge: GatewayConfig["bridge"];
  /** The gateway's own name among deployments. */
  readonly hopId: string;
  /** Whether private addresses may be reached. */
  readonly allowPrivate: boolean;
  /** Takes the lines that a child writes to stderr. */
  readonly onStderr: (upstream: UpstreamRecord, line: string) => void;
}

/** The connection of a registered upstream: HTTP by undici, or a supervised child process. */
export function connectUpstream(
  record: UpstreamRecord,
  era: ConnectionEra,
  wiring: UpstreamWiring,
): Upstream {
  const { definition, credentials } = record;
  const { bridge } = wiring;
  if (definition.command !== undefined) {
    return createStdioUpstream({
      command: definition.command,
      args: definition.args ?? [],
      env: credentials.env,
      ...(definition.cwd === undefined ? {} : { cwd: definition.cwd }),
      child: definition.child,
      era,
      requestTimeoutMs: bridge.requestTimeoutMs,
      connectTimeoutMs: bridge.connectTimeoutMs,
      stopStepMs: bridge.stdioStopMs,
      onStderr: (line: string) => wiring.onStderr(record, line),
    });
  }
  // One that was registered by the API was found out then.
  const places = record.source === "config" ? candidatesOf(definition) : [definition];
  const [first = definition, ...others] = places;
  const connect = (place: UpstreamDefinition) => connectHttp({ ...record, definition: place }, era, wiring);
  return others.length === 0
    ? connect(first)
    : firstThatAnswers([connect(first), ...others.map((place) => connect(place))]);
}

function connectHttp(
  { definition, credentials }: UpstreamRecord,
  era: ConnectionEra,
  { bridge, hopId, allowPrivate }: UpstreamWiring,
): Upstream {
  const url = new URL(definition.url ?? "");
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return createHttpUpstream({
    url: url.href,
    ...(definition.transport === undefined ? {} : { transport: definition.transport }),
    era,
    headers: { ...credentials.headers, [hopHeader]: hopId },
    connectTimeoutMs: bridge.connectTimeoutMs,
    handshakeTimeoutMs: bridge.connectTimeoutMs,
    requestTimeoutMs: bridge.requestTimeoutMs,
    connections: bridge.connectionsPerUpstream,
    // An address cannot change between the check and the connect; a name can, so its sockets check again.
    ...(isIP(host) === 0 ? { lookup: guardedLookup(allowPrivate) } : {}),
  });
}
