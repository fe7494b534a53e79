import { type Logger, pino } from "pino";
import type { GatewayConfig } from "../config/gateway-config.ts";

/** The log of a command: JSON lines on standard error, without secrets. */
export function createLogger({ observability }: GatewayConfig): Logger {
  return pino(
    {
      level: observability.logLevel,
      redact: ["token", "authorization", "headers", "*.authorization"],
    },
    pino.destination({ fd: 2, sync: true }),
  );
}
