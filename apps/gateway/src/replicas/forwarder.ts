import type { RedisOwnership } from "@gatewright/session-pool/redis";
import { callerTimeoutMs, timeoutHeader } from "../calls/attempt-headers.ts";
import { encodeHead, forwardPath, joinForward } from "./forward-head.ts";
import { Peers } from "./peers.ts";
import { brokenStream } from "./refusals.ts";
import type { RelayOutcome } from "./relay.ts";
import type { EdgeRequest } from "./replicas.ts";

/** Where a forwarded request goes. */
export interface Addressee {
  readonly owner: string;
  readonly url: string;
  readonly epoch?: number;
}

/** How requests are handed to other replicas. Times in milliseconds. */
export interface ForwarderOptions {
  /** Longest connect. */
  readonly connectTimeoutMs: number;
  /** Longest silence of a replica that works on a request; it gives signs of life. */
  readonly silenceMs: number;
  /** Longest silence within an event stream. */
  readonly streamSilenceMs: number;
  readonly callTimeoutMs: number;
  /** Told what came of every forwarded request. */
  readonly onForward: (outcome: RelayOutcome["kind"]) => void;
}

/** How much longer than a call may take its answer is waited for. */
const graceMs = 2_000;

/** Hands requests to other replicas, signed, and relays their answers. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #peers: Peers;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#peers = new Peers(options);
  }

  /** How long the client waits, or a call may take; for a stream, how long it is looked for whoever has it. */
  timeMsOf({ request }: EdgeRequest): number {
    const { callTimeoutMs } = this.#options;
    if (request.method === "GET") return callTimeoutMs;
    return Math.min(callTimeoutMs, callerTimeoutMs(request.headers[timeoutHeader]) ?? callTimeoutMs);
  }

  /** @param deadlineMs monotonic time when nobody waits any more; streams have none. Never rejects. */
  async send(
    ownership: RedisOwnership,
    to: Addressee,
    sessionId: string | undefined,
    edge: EdgeRequest,
    deadlineMs: number,
  ): Promise<RelayOutcome> {
    const { silenceMs, streamSilenceMs, onForward } = this.#options;
    const { request, response, body } = edge;
    const remainingMs =
      request.method === "GET" ? undefined : Math.max(1, Math.round(deadlineMs - performance.now()));
    const envelope = ownership.sign(to, sessionId, {
      method: "POST",
      path: forwardPath,
      body,
      payload: encodeHead(edge),
      ...(remainingMs === undefined ? {} : { remainingMs }),
    });
    const outcome = await this.#peers.send(
      {
        url: to.url,
        body: joinForward(envelope, body),
        sessionId,
        // The owner ends the call in time, and says so; this is for an owner that does not.
        timeoutMs: remainingMs === undefined ? undefined : remainingMs + graceMs,
      },
      { response, silenceMs, streamSilenceMs, brokenStream: brokenStream(edge) },
    );
    onForward(outcome.kind);
    return outcome;
  }

  /** Drops all connections. */
  close(): Promise<void> {
    return this.#peers.close();
  }
}
