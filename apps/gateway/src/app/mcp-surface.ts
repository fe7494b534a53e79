import type { IncomingMessage } from "node:http";
import { type Admission, createAdmission } from "../auth/admission.ts";
import { Heartbeat } from "../channels/heartbeat.ts";
import { basePathOf, challengeOf } from "../http/challenge.ts";
import { createClientAddress } from "../http/client-address.ts";
import { HeldMessages } from "../http/held-messages.ts";
import { createHostGuard } from "../http/host-guard.ts";
import { RequestHooks } from "../http/request-hooks.ts";
import type { McpEndpointDeps } from "../mcp/mcp-request.ts";
import type { GatewayCore } from "./gateway-core.ts";
import { createRequestIds } from "./request-ids.ts";
import type { ChannelDeps } from "./serve-channels.ts";

/** What serves MCP over HTTP, whatever the paths: guards, admission, limits, and the core's calls. */
export type McpSurface = McpEndpointDeps &
  ChannelDeps & {
    readonly requestIdOf: (request: IncomingMessage) => string;
  };

/** Makes it over a core; `admit` may change who is let in, and as whom. */
export function createMcpSurface(
  core: GatewayCore,
  admit: (admission: Admission) => Admission = (admission) => admission,
): McpSurface {
  const { config, liveConfig, logger, metrics, pipeline } = core;
  const nextRequestId = createRequestIds();
  const clientAddress = createClientAddress(config.server.trustedProxies);
  const hooks = new RequestHooks({ pipeline, clientAddress, nextRequestId });
  let guard = createHostGuard(config.server);
  const surface: McpSurface = {
    ...core.calls,
    sessions: core.sessions,
    channels: core.channels,
    held: new HeldMessages(config.limits),
    replicas: core.replicas,
    admission: admit(createAdmission({ authenticator: core.authenticator, pipeline, hooks })),
    hooks,
    guard: (request) => guard(request),
    clientAddress,
    limits: { ...config.limits },
    challenge: (request) => challengeOf(config.server, request),
    heartbeat: new Heartbeat(config.limits.channelPingMs),
    basePath: basePathOf(config.server),
    httpMetrics: metrics.http,
    nextRequestId,
    requestIdOf: (request) => hooks.of(request)?.requestId ?? nextRequestId(),
    onFailure: (error, requestId) => logger.error({ err: error, requestId }, "a request failed"),
  };
  liveConfig.onChange(({ server, limits }) => {
    const { callTimeoutMs, callsPerChannel } = limits;
    guard = createHostGuard(server);
    Object.assign(surface, { callTimeoutMs });
    Object.assign(surface.limits, { callsPerChannel });
    void core.channels.checkTokens(core.authenticator);
  });
  return surface;
}
