import type { Implementation } from "@gatewright/mcp-bridge/upstream";

/** Version of the gateway, as it says to clients and upstreams. */
export const gatewayVersion = "0.1.0";

/** Who the gateway says it is. */
export const gatewayIdentity: Implementation = {
  name: "gatewright",
  title: "Gatewright",
  version: gatewayVersion,
};
