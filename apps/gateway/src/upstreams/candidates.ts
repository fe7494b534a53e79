import type { UpstreamDefinition } from "../registry/records.ts";

/**
 * Where an upstream may be: a URL without a path is tried at `/`, at `/mcp` and, by the transport of 2024-11-05, at
 * `/sse`; any other is what it says.
 */
export function candidatesOf(definition: UpstreamDefinition): readonly UpstreamDefinition[] {
  const { url, transport } = definition;
  if (url === undefined || new URL(url).pathname !== "/") return [definition];
  const below = (path: string) => Object.assign(new URL(url), { pathname: path }).href;
  const sse = { ...definition, url: below("/sse"), transport: "sse" as const };
  return transport === "sse" ? [definition, sse] : [definition, { ...definition, url: below("/mcp") }, sse];
}
