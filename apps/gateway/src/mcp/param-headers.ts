import { type ParamHeader, readParamHeaders } from "@gatewright/mcp-bridge";
import type { Snapshot } from "../registry/snapshot.ts";

/** Which arguments of a tool its upstream wants mirrored into headers; none where its definition is not valid. */
export function paramHeadersOf(snapshot: Snapshot, upstreamId: string, tool: string): readonly ParamHeader[] {
  return snapshot.derive(`param-headers/${upstreamId}/${tool}`, () => {
    const schema = snapshot.items(upstreamId, "tool").get(tool)?.body["inputSchema"];
    const rules = readParamHeaders(schema);
    return rules.valid ? rules.headers : [];
  });
}
