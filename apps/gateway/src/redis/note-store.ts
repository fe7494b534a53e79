import { MEMBER_EXPIRY_MS } from "@gatewright/plugin-framework";
import type { RedisConnections } from "./redis-connections.ts";

/** Where replicas leave notes for each other, by name. A note is forgotten some seconds after it was last put. */
export interface NoteStore {
  put(name: string, text: string): Promise<void>;
  get(names: readonly string[]): Promise<readonly (string | null)[]>;
  drop(name: string): Promise<void>;
}

/** Notes in Redis, in the hash slot of the members. */
export function createRedisNotes({ commands, prefix }: RedisConnections): NoteStore {
  const key = (name: string) => `${prefix}:{bus}:note:${name}`;
  return {
    async put(name, text) {
      await commands.set(key(name), text, "PX", MEMBER_EXPIRY_MS);
    },
    get: (names) => commands.mget(names.map(key)),
    async drop(name) {
      await commands.unlink(key(name));
    },
  };
}
