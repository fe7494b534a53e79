import type { RedisClient } from "./redis-client.ts";
import type { Script } from "./script.ts";

/**
 * Runs a script by its hash. A server that does not know it (restarted, flushed, a new node) gets the text with
 * the same call, so the caller never sees NOSCRIPT.
 */
export function runScript(
  client: RedisClient,
  script: Script,
  keyCount: number,
  args: readonly (string | number)[],
): Promise<unknown>;
/** The same, with the reply read by `read`. */
export function runScript<T>(
  client: RedisClient,
  script: Script,
  keyCount: number,
  args: readonly (string | number)[],
  read: (reply: unknown) => T,
): Promise<T>;
export function runScript<T>(
  client: RedisClient,
  script: Script,
  keyCount: number,
  args: readonly (string | number)[],
  read?: (reply: unknown) => T,
): Promise<unknown> {
  // One `then` for both outcomes: each further promise costs the process a tenth of what the whole call does.
  return client.callBuffer("EVALSHA", script.sha, String(keyCount), ...args).then(read, (error: unknown) => {
    if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
    return client.callBuffer("EVAL", script.text, keyCount, ...args).then(read);
  });
}
