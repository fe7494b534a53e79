import { z } from "zod";

/** Headers of the connection or of one message, which whoever sends it sets. */
const ownOfConnection: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Whether a header is one of the connection or of one message, and so nobody's to choose. */
export function isOfConnection(name: string): boolean {
  return ownOfConnection.has(name.toLowerCase());
}

/** What a header can carry (RFC 9110, 5.5). */
export const headerValue = z
  .string()
  .regex(
    /^[\t\x20-\x7e\x80-\xff]*$/,
    "may have no line breaks, control characters or characters beyond Latin-1",
  );

/** Headers to send, by name. */
export const headerMap = z.record(
  z
    .string()
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "is not a header name")
    // An upstream behind an address may be one of several, told by its name.
    .refine(
      (name) => name.toLowerCase() === "host" || !isOfConnection(name),
      "is set by the connection itself",
    ),
  headerValue,
);
