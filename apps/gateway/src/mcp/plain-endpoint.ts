import { encodeResultBody } from "@gatewright/mcp-bridge";
import type { Target } from "../calls/target.ts";
import { GatewayError } from "../errors.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import { answerForShared } from "./answer-subscription.ts";
import type { Exchange } from "./exchange.ts";
import { forward } from "./forward.ts";
import type { ForwardDeps } from "./forward-deps.ts";
import { wantedBy } from "./listen-filter.ts";

/** Serves one upstream unchanged: names, lists and everything unknown are the upstream's own. */
export function servePlain(
  deps: ForwardDeps,
  exchange: Exchange,
  target: Extract<Target, { kind: "plain" }>,
): Promise<void> {
  const { message, era, reply, idText } = exchange;
  if (message.method === "ping" && era !== "modern") {
    reply.answer(encodeResultBody(idText, "{}"));
    return Promise.resolve();
  }
  const upstream = upstreamOf(deps, target.upstreamId);
  if (message.method === "subscriptions/listen" && era === "modern") {
    const wanted = wantedBy(exchange);
    const filters = new Map([[upstream.id, wanted]]);
    return deps.listening.serve(exchange, wanted, () => filters);
  }
  const ofResources = message.method.startsWith("resources/");
  const name = message.params?.[ofResources ? "uri" : "name"];
  const route = { upstream, name: typeof name === "string" ? name : "" };
  const answered = ofResources ? answerForShared(deps, exchange, route) : undefined;
  if (answered === undefined) return forward(deps, exchange, route);
  return answered.then(({ bytes, idSpan }) => reply.relay(bytes, idSpan, idText));
}

/** The record of an upstream as it is now. */
export function upstreamOf(deps: Pick<ForwardDeps, "snapshot">, id: string): UpstreamRecord {
  const upstream = deps.snapshot().upstreams.get(id);
  if (upstream === undefined) throw new GatewayError("not_found", "the gateway of this server is gone");
  return upstream;
}
