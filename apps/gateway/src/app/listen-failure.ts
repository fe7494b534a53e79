import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";

/** Why a port cannot be listened on, in words for an operator; any other failure as it came. */
export function describeListenFailure(
  cause: unknown,
  server: Pick<GatewayConfig["server"], "host" | "port">,
): unknown {
  const code = (cause as NodeJS.ErrnoException).code;
  const where = `${server.host}:${server.port}`;
  if (code === "EADDRINUSE") {
    return new GatewayError("conflict", `${where} is in use by another process; set PORT to a free port`, {
      cause,
    });
  }
  if (code === "EADDRNOTAVAIL" || code === "EACCES" || code === "ENOTFOUND") {
    return new GatewayError("conflict", `cannot listen on ${where} (${code})`, { cause });
  }
  return cause;
}
