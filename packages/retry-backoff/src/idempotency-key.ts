/**
 * The idempotency key to send: the client's own, else a fresh one where the server declares that it
 * honours keys, else none. Choose it once per call and send the same one with every attempt.
 */
export function idempotencyKeyFor(
  call: { readonly clientKey?: string | undefined; readonly serverHonoursKeys?: boolean | undefined },
  mint: () => string = () => globalThis.crypto.randomUUID(),
): string | undefined {
  return call.clientKey || (call.serverHonoursKeys ? mint() : undefined);
}
