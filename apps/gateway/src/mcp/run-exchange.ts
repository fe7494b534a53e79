import { WireError } from "@gatewright/mcp-bridge";
import { type AggregateDeps, serveAggregate } from "./aggregate-endpoint.ts";
import type { Exchange } from "./exchange.ts";
import { servePlain } from "./plain-endpoint.ts";

/**
 * Serves one request, whichever transport it came by: finds its upstream, runs plugins and limits, answers. `control`
 * is the controller of the exchange's signal; once it has fired the request gets no answer.
 *
 * @throws {WireError} `invalid_request` when the session has a request with this id already; GatewayError where the
 *   request is refused or fails
 */
export async function runExchange(
  deps: AggregateDeps,
  control: AbortController,
  exchange: Exchange,
): Promise<void> {
  const { session, idText, target } = exchange;
  if (session !== undefined) {
    if (session.calls.has(idText)) {
      throw new WireError("invalid_request", "A request with this id is in flight already.", { idText });
    }
    session.calls.set(idText, control);
  }
  const trace = deps.tracing?.begin(exchange);
  const traced = trace === undefined ? exchange : { ...exchange, trace };
  try {
    if (target.kind === "plain") await servePlain(deps, traced, target);
    else await serveAggregate(deps, traced);
  } catch (error) {
    if (!control.signal.aborted) {
      trace?.failed(error);
      throw error;
    }
    trace?.cancelled();
    exchange.reply.abandon();
  } finally {
    trace?.end();
    if (session?.calls.get(idText) === control) session.calls.delete(idText);
    session?.questions.over(idText);
  }
}
