import type { NotificationMessage } from "../message.ts";

/** Severities of log messages, mildest first (RFC 5424). */
export const LOG_LEVELS = [
  "debug",
  "info",
  "notice",
  "warning",
  "error",
  "critical",
  "alert",
  "emergency",
] as const;

/** A log level that a client asked for; `undefined` for anything else. */
export function readLogLevel(value: unknown): string | undefined {
  return severityOf(value) < 0 ? undefined : (value as string);
}

/** Place of a level in {@link LOG_LEVELS}; −1 for none. */
export function severityOf(level: unknown): number {
  return typeof level === "string" ? (LOG_LEVELS as readonly string[]).indexOf(level) : -1;
}

/** Whether a log message is for a client that asked for `level`; without a level none is. */
export function passesLogLevel(message: NotificationMessage, level: string | undefined): boolean {
  if (message.method !== "notifications/message") return true;
  if (level === undefined) return false;
  const severity = severityOf(message.params?.["level"]);
  return severity < 0 || severity >= severityOf(level);
}
