import { randomUUID } from "node:crypto";
import { GatewayError } from "../errors.ts";
import type { Replicas } from "./replicas.ts";

/** A gateway that shares no state with others: every session is here. */
export function createSoleReplica(): Replicas {
  const selfId = randomUUID();
  return {
    selfId,
    start: async () => undefined,
    handOver: () => undefined,
    claim: async () => undefined,
    isHere: () => true,
    route: async () => "here",
    forward: async () => {
      throw new GatewayError("session_owner_unreachable", "the replica that holds this call is gone");
    },
    async receive(_request, response) {
      response.writeHead(404).end();
      return undefined;
    },
    ended: () => undefined,
    upstreamChanged: () => undefined,
    stats: () => undefined,
    close: async () => undefined,
  };
}
