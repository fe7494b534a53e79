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
