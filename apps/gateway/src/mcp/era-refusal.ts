import type { IncomingHttpHeaders } from "node:http";
import { classifyEra, SUPPORTED_REVISIONS, type WireError } from "@gatewright/mcp-bridge";
import type { Target } from "../calls/target.ts";
import type { McpEndpointDeps } from "./mcp-request.ts";

/** The refusal of a revision, which names those that `server/discover` of the target names. */
export function eraRefusal(
  { snapshot }: Pick<McpEndpointDeps, "snapshot">,
  headers: IncomingHttpHeaders,
  target: Target,
  message?: Parameters<typeof classifyEra>[1],
): WireError | undefined {
  const upstream = target.kind === "plain" ? snapshot().upstreams.get(target.upstreamId) : undefined;
  const verdict = classifyEra(headers, message, upstream?.self?.supportedVersions ?? SUPPORTED_REVISIONS);
  return verdict.era === "refused" ? verdict.error : undefined;
}
