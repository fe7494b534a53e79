import { UpstreamError, type UpstreamSession } from "@gatewright/mcp-bridge/upstream";

/** JSON-RPC number of a method that the peer does not know. */
const methodNotFound = -32601;

/**
 * Asks an upstream whether it is there: `ping`, or `server/discover` where there is no ping. One that does not know the
 * method has answered too.
 *
 * @throws {UpstreamError} when it does not answer, or with an error
 */
export async function checkHealth(session: UpstreamSession, timeoutMs: number): Promise<void> {
  const method = session.era === "modern" ? "server/discover" : "ping";
  const answer = await session.request({ method }, { timeoutMs });
  if (answer.kind !== "error") return;
  const { code, message } = answer.value();
  if (code === methodNotFound) return;
  throw new UpstreamError("upstream_protocol", `${method} failed: ${String(message)}`, {
    phase: "response_received",
  });
}
