import { type Bridge, localResult } from "@gatewright/mcp-bridge/bridge";
import type {
  UpstreamAnswer,
  UpstreamMessage,
  UpstreamRequest,
  UpstreamSession,
} from "@gatewright/mcp-bridge/upstream";
import type { Crossing, CrossingOptions } from "../calls/crossing.ts";
import type { Exchange } from "./exchange.ts";

/** A client without a session in front of an upstream with sessions. */
export class ModernClient implements Crossing {
  readonly era = "modern";
  readonly #bridge: Bridge;
  readonly #exchange: Exchange;
  readonly #hear: (message: UpstreamMessage) => void;

  /** @param hear takes what the upstream says, whether or not it is for the client */
  constructor(bridge: Bridge, exchange: Exchange, hear: (message: UpstreamMessage) => void) {
    this.#bridge = bridge;
    this.#exchange = exchange;
    this.#hear = hear;
  }

  send(
    session: UpstreamSession,
    request: UpstreamRequest,
    { signal, timeoutMs, onEnd }: CrossingOptions,
  ): Promise<UpstreamAnswer> {
    const { message, reply } = this.#exchange;
    if (message.method === "server/discover") {
      const answer = localResult(JSON.stringify(this.#bridge.discoverResult(session)));
      onEnd({ answer });
      return Promise.resolve(answer);
    }
    const { principal, endpoint } = ownerOf(this.#exchange);
    return this.#bridge.forwardModern(session, message, {
      principal,
      endpoint,
      request,
      timeoutMs,
      signal,
      onEnd,
      onHeard: this.#hear,
      onNotification: (bytes) => reply.message(bytes),
    });
  }
}

/** Who may continue a call that waits for its client, and where. */
export function ownerOf({ principal, target }: Exchange): { principal: string; endpoint: string } {
  return { principal: principal.key, endpoint: target.id ?? "" };
}
