import type { ServerResponse } from "node:http";
import { validateHeaderName, validateHeaderValue } from "./node-http.ts";

/** The headers that can be sent as they are; a plugin may have made up others. */
export function sendableHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name, value]) => isSendable(name, value)));
}

/** Whether a header can be sent: its name is a token, and its value has no line break in it. */
export function isSendable(name: string, value: unknown): value is string {
  if (typeof value !== "string") return false;
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}

/**
 * Writes the head of an answer, its headers given as names and values by turns. One that cannot be sent, which only a
 * plugin can have made, is left out: it must not take away the answer to a call that was made.
 */
export function writeHead(response: ServerResponse, status: number, headers: string[]): void {
  try {
    response.writeHead(status, headers);
  } catch (error) {
    if (response.headersSent) throw error;
    const sendable = headers.filter((_, index) => {
      const at = index - (index % 2);
      return isSendable(headers[at] ?? "", headers[at + 1]);
    });
    response.writeHead(status, sendable);
  }
}
