import type { OpenOptions } from "./upstream.ts";

/**
 * Who asks an upstream for its era: nobody in particular. The answer holds for all who open sessions, and what the first
 * of them says of itself could be what is refused.
 */
export const prober: Pick<OpenOptions, "clientInfo" | "capabilities"> = {
  clientInfo: { name: "gatewright", version: "0" },
  capabilities: {},
};
