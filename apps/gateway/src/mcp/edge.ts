import { type Message, textOf, WireError } from "@gatewright/mcp-bridge";
import type { Principal } from "../auth/principal.ts";
import type { EdgeRequest } from "../replicas/replicas.ts";
import type { McpEndpointDeps, McpRequest } from "./mcp-request.ts";

/**
 * Has a request answered by the replica that holds its session; undefined when that is this one for certain. What was
 * forwarded once is served here.
 */
export function elsewhere(
  deps: McpEndpointDeps,
  sessionId: string,
  incoming: McpRequest,
  principal: Principal,
  message?: Message,
): Promise<"here" | "answered"> | undefined {
  const { replicas } = deps;
  if (incoming.forwarded !== undefined || replicas.isHere(sessionId)) return undefined;
  return replicas.route(sessionId, edgeOf(deps, incoming, principal, message));
}

/** A request as another replica gets it. */
export function edgeOf(
  { clientAddress }: McpEndpointDeps,
  { request, response, requestId }: McpRequest,
  principal: Principal,
  message: Message | undefined,
): EdgeRequest {
  return {
    request,
    response,
    body: message?.bytes ?? Buffer.alloc(0),
    principal,
    clientIp: clientAddress(request),
    requestId,
    idText: message?.kind === "request" ? textOf(message.bytes, message.idSpan) : undefined,
  };
}

/** The session that a request names. @throws {WireError} `invalid_request` when it names none */
export function sessionIdOf({ headers }: McpRequest["request"]): string {
  const id = headers["mcp-session-id"];
  if (typeof id === "string") return id;
  throw new WireError("invalid_request", "The header Mcp-Session-Id is missing.");
}
