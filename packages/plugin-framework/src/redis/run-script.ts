import type { RedisCommands } from "./redis-client.ts";
import type { Script } from "./scripts.ts";

/** Runs a script by its hash; a server that does not know it yet gets the text. */
export async function runScript(
  client: RedisCommands,
  script: Script,
  ...args: (string | number)[]
): Promise<unknown> {
  try {
    return await client.evalsha(script.sha, script.keys, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
    return client.eval(script.lua, script.keys, ...args);
  }
}
