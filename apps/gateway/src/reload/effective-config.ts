import type { GatewayConfig } from "../config/gateway-config.ts";

/**
 * What a process that was started with one configuration can make of another: the part that is applied while it runs,
 * over what it was started with. What is not named here needs a restart.
 *
 * `auth.required` and the address that is listened on were checked together, so neither changes without the other.
 */
export function effectiveConfig(started: GatewayConfig, next: GatewayConfig): GatewayConfig {
  const { callTimeoutMs, streams, streamsPerUser, callsPerChannel } = next.limits;
  const { downstreamSessions, downstreamSessionsPerUser } = next.limits;
  const { allowedHosts, allowedOrigins } = next.server;
  const { required, protectHealth } = started.auth;
  return {
    ...started,
    server: { ...started.server, allowedHosts, allowedOrigins },
    auth: { ...next.auth, required, protectHealth },
    plugins: next.plugins,
    mcpServers: next.mcpServers,
    limits: {
      ...started.limits,
      callTimeoutMs,
      streams,
      streamsPerUser,
      downstreamSessions,
      downstreamSessionsPerUser,
      callsPerChannel,
    },
    observability: { ...started.observability, logLevel: next.observability.logLevel },
  };
}
