import type { IncomingMessage } from "node:http";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";

const loopbackNames = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Checks `Host` and `Origin` (against DNS rebinding and foreign web pages): the host has to be a loopback
 * name, the address listened on, the one of `advertiseUrl`, or configured; an origin, where a browser sends one,
 * has to name such a host or be configured.
 *
 * @throws {GatewayError} `forbidden`
 */
export function createHostGuard(config: GatewayConfig["server"]): (request: IncomingMessage) => void {
  const hosts = new Set([...loopbackNames, config.host, ...config.allowedHosts]);
  if (config.advertiseUrl !== undefined) hosts.add(new URL(config.advertiseUrl).hostname);
  const origins = new Set(config.allowedOrigins);
  const anyHost = config.allowedHosts.includes("*") || config.host === "0.0.0.0" || config.host === "::";
  const anyOrigin = origins.has("*");
  const known = new Set<string>();

  return (request) => {
    const { host, origin } = request.headers;
    if (!anyHost && (host === undefined || !known.has(host))) {
      const name = host === undefined ? undefined : nameOf(`http://${host}`);
      if (name === undefined || !hosts.has(name))
        throw new GatewayError("forbidden", "this Host is not served here");
      if (host !== undefined && known.size < 64) known.add(host);
    }
    if (origin === undefined || anyOrigin || origins.has(origin)) return;
    const name = nameOf(origin);
    if (name === undefined || !hosts.has(name)) {
      throw new GatewayError("forbidden", "this Origin may not call the gateway");
    }
  };
}

function nameOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}
