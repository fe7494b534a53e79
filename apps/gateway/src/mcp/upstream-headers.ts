import { encodeParamHeaders } from "@gatewright/mcp-bridge";
import type { CallEdits } from "../calls/call-edits.ts";
import type { Route } from "../calls/target.ts";
import { hopHeader } from "../upstreams/hop.ts";
import type { Exchange } from "./exchange.ts";
import type { ForwardDeps } from "./forward-deps.ts";
import { paramHeadersOf } from "./param-headers.ts";

const noHeaders: Readonly<Record<string, string>> = {};

/** The caller's headers that go on: `Mcp-Param-*`, and those that the upstream's definition names. */
export function upstreamHeaders(exchange: Exchange, { upstream }: Route): Readonly<Record<string, string>> {
  const { headers, era } = exchange;
  const wanted = upstream.definition.passthroughHeaders;
  const hops = headers[hopHeader];
  if (era !== "modern" && wanted.length === 0 && hops === undefined) return noHeaders;
  const picked: Record<string, string> = typeof hops === "string" ? { [hopHeader]: hops } : {};
  for (const name of wanted) {
    const value = headers[name];
    if (typeof value === "string") picked[name] = value;
  }
  if (era !== "modern") return picked;
  for (const name in headers) {
    const value = headers[name];
    if (name.startsWith("mcp-param-") && typeof value === "string") picked[name] = value;
  }
  return picked;
}

/**
 * The headers that mirror arguments, where the upstream wants some and the caller's do not fit: it speaks a revision
 * without them, or a plugin changed the arguments or the tool.
 */
export function withParamHeaders(
  deps: ForwardDeps,
  { era, message }: Exchange,
  { upstream, name }: Route,
  headers: Readonly<Record<string, string>>,
  edits: CallEdits | undefined,
): Readonly<Record<string, string>> {
  const same = edits?.args === undefined && edits?.name === undefined;
  if (upstream.self?.era !== "modern" || (era === "modern" && same)) return headers;
  const rules = paramHeadersOf(deps.snapshot(), upstream.id, edits?.name ?? name);
  if (rules.length === 0 && edits?.name === undefined) return headers;
  const kept = Object.entries(headers).filter(([key]) => !key.startsWith("mcp-param-"));
  const args = edits?.args === undefined ? message.params?.["arguments"] : edits.args.value;
  return { ...Object.fromEntries(kept), ...encodeParamHeaders(rules, args) };
}
