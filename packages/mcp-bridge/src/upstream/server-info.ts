import type { JsonObject } from "../message.ts";
import { META } from "../revisions.ts";
import type { Implementation } from "./upstream.ts";

/** What a server says about itself in the result of `initialize` or `server/discover`. */
export interface ServerSelf {
  readonly serverInfo: Implementation | undefined;
  readonly capabilities: JsonObject;
  readonly instructions: string | undefined;
}

/** Reads {@link ServerSelf} from a handshake's result; what is malformed counts as absent. */
export function serverSelf(handshake: JsonObject): ServerSelf {
  const meta = handshake["_meta"];
  const info = handshake["serverInfo"] ?? (isObject(meta) ? meta[META.serverInfo] : undefined);
  const { capabilities, instructions } = handshake as { capabilities?: unknown; instructions?: unknown };
  return {
    serverInfo: isObject(info) ? (info as Implementation) : undefined,
    capabilities: isObject(capabilities) ? capabilities : {},
    instructions: typeof instructions === "string" ? instructions : undefined,
  };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
