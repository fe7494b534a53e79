import type { ServerResponse } from "node:http";
import { classifyEra, WireError } from "@gatewright/mcp-bridge";
import type { Principal } from "../auth/principal.ts";
import type { Target } from "../calls/target.ts";
import type { RpcReply } from "../http/rpc-reply.ts";
import { elsewhere, sessionIdOf } from "./edge.ts";
import { eraRefusal } from "./era-refusal.ts";
import type { McpEndpointDeps, McpRequest } from "./mcp-request.ts";

/** Serves what has no body: DELETE ends a session, GET opens its stream, or goes on with one that broke. */
export async function serveStream(
  deps: McpEndpointDeps,
  incoming: McpRequest,
  reply: RpcReply,
  principal: Principal,
  target: Target,
): Promise<void> {
  const { request, response } = incoming;
  const verdict = classifyEra(request.headers);
  if (verdict.era === "refused") throw eraRefusal(deps, request.headers, target) ?? verdict.error;
  const id = sessionIdOf(request);
  const { authorization } = request.headers;
  const away = elsewhere(deps, id, incoming, principal);
  if (away !== undefined) {
    const isStream = request.method === "GET";
    const revoke = () => endRelayed(response);
    const unwatch = isStream ? deps.channels.watch(principal, { revoke, authorization }) : undefined;
    try {
      if ((await away) === "answered") return;
    } finally {
      unwatch?.();
    }
  }
  const session = deps.sessions.get(id, principal, target);
  if (request.method === "DELETE") {
    deps.sessions.end(session);
    reply.done(204);
    return;
  }
  if (!reply.streamable) throw new WireError("invalid_request", "Accept has to name text/event-stream.");
  // A client that left while it was admitted will not leave again, so nothing is counted, or opened, for it.
  if (response.destroyed) return;
  const revoke = () => {
    session.endStream();
    // The stream of an answer, which is resumed on this connection.
    if (!response.writableEnded) response.destroy();
  };
  response.once("close", deps.channels.add("stream", principal, { revoke, authorization }));
  const lastEventId = request.headers["last-event-id"];
  if (typeof lastEventId === "string") {
    const resume = session.resumption(lastEventId);
    if (resume === undefined) {
      throw new WireError("invalid_request", "Nothing is kept for this Last-Event-ID.");
    }
    reply.openStream();
    resume(response);
    return;
  }
  reply.openStream();
  session.attach(response);
}

/** Ends a stream that another replica serves: in good order where its client reads. */
function endRelayed(response: ServerResponse): void {
  if (response.headersSent && !response.writableEnded && !response.writableNeedDrain) response.end();
  else response.destroy();
}
