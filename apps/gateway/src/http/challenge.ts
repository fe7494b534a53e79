import type { IncomingMessage } from "node:http";
import type { GatewayConfig } from "../config/gateway-config.ts";

/** Path of the protected resource metadata (RFC 9728). */
export const metadataPath = "/.well-known/oauth-protected-resource";

/** The URL under which a client reached the gateway. */
export function baseUrlOf(config: GatewayConfig["server"], request: IncomingMessage): string {
  if (config.advertiseUrl !== undefined) return config.advertiseUrl.replace(/\/+$/, "");
  return `http://${request.headers.host ?? `${config.host}:${config.port}`}`;
}

/** The path below which clients see the gateway's routes; empty at the root. */
export function basePathOf(config: Pick<GatewayConfig["server"], "advertiseUrl">): string {
  return config.advertiseUrl === undefined ? "" : new URL(config.advertiseUrl).pathname.replace(/\/+$/, "");
}

/** `WWW-Authenticate` of a 401: where the metadata is that says how to get a token. */
export function challengeOf(config: GatewayConfig["server"], request: IncomingMessage): string {
  return `Bearer realm="gatewright", resource_metadata="${baseUrlOf(config, request)}${metadataPath}"`;
}
