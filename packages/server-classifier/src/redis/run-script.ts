import { createHash } from "node:crypto";
import type { RedisClient } from "./redis-client.ts";

/** A script that is sent by its hash, and whole when the server does not know it (restart, SCRIPT FLUSH). */
export function createScript(source: string) {
  const sha = createHash("sha1").update(source).digest("hex");
  return async (
    client: RedisClient,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> => {
    try {
      return await client.evalsha(sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
      return client.eval(source, keys.length, ...keys, ...args);
    }
  };
}
