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
): Promise<unknown> {
  return client.callBuffer("EVALSHA", script.sha, keyCount, ...args).catch((error: unknown) => {
    if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
    return client.callBuffer("EVAL", script.text, keyCount, ...args);
  });
}
