import { PluginError } from "@gatewright/plugin-framework";
import { GatewayError } from "../errors.ts";

/**
 * The error that a caller gets for a failure that nobody foresaw. A plugin's failure keeps its code; what it says stays
 * with the operator, as a handler may have put anything into it.
 */
export function unexpectedFailure(cause: unknown): GatewayError {
  if (PluginError.is(cause)) {
    switch (cause.code) {
      case "plugin_timeout":
        return new GatewayError("plugin_timeout", "a plugin took too long", { cause });
      case "payload_too_large":
        return new GatewayError("payload_too_large", "a plugin cannot read a payload of this size", {
          cause,
        });
      default:
        return new GatewayError("plugin_error", "a plugin failed", { cause });
    }
  }
  return new GatewayError("plugin_error", "the gateway failed", { cause, publicCode: "internal_error" });
}
