import type { JsonObject, NotificationMessage, RequestMessage } from "../message.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import type { UpstreamMessage, UpstreamRequest, UpstreamSession } from "../upstream/upstream.ts";
import type { AskClient } from "./input-rounds.ts";

/** How a call to an upstream ended. */
export type CallOutcome = { readonly answer: UpstreamAnswer } | { readonly error: unknown };

/** A stateless client's call to a server with sessions. */
export interface ForwardModern {
  /** Who calls: only the same principal may continue a parked call. */
  readonly principal: string;
  /** What was called, where there are several endpoints: a parked call is continued at the same one only. */
  readonly endpoint?: string | undefined;
  /** Time that the upstream has; waiting for the client is not counted. 0 = none. */
  readonly timeoutMs: number;
  /** The client went away: gives the call up while it runs. */
  readonly signal?: AbortSignal | undefined;
  /** Progress and log messages for the client, ready to be sent. */
  readonly onNotification?: ((bytes: Buffer) => void) | undefined;
  /** Every notification of the call as the upstream sent it: those, too, that are not for the client's stream. */
  readonly onHeard?: ((message: NotificationMessage) => void) | undefined;
  /** The upstream is done with the call, or it was given up: its session may go to others. Called once. */
  readonly onEnd?: ((outcome: CallOutcome) => void) | undefined;
  /** What is sent instead of the message as it is, for example under the upstream's own name. */
  readonly request?: UpstreamRequest | undefined;
}

/** The continuation of a parked call. */
export type ResumeModern = Omit<ForwardModern, "onEnd" | "request" | "timeoutMs">;

/** A call of a client with a session to a stateless server. */
export interface ForwardLegacy {
  /** What the client said in its handshake. */
  readonly client: { readonly clientInfo: JsonObject; readonly capabilities: JsonObject };
  /** Asks the client over its stream: raw JSON of the result. Rejects when it cannot or will not. */
  readonly ask: AskClient;
  /** The level that the client set by `logging/setLevel`. */
  readonly logLevel?: string | undefined;
  /**
   * What is sent instead of the message as it is: under the upstream's own name, with HTTP headers like those of
   * `encodeParamHeaders`.
   */
  readonly request?: UpstreamRequest | undefined;
  /** Time that the upstream has over all rounds, waiting for the client not counted; 0 = none. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onMessage?: ((message: UpstreamMessage) => void) | undefined;
}

/** A continuation whose state was found good: the call may go on, once. */
export type Claim =
  /** `proceed` has to be called. @throws UpstreamError, BridgeError */
  | {
      readonly kind: "here";
      readonly proceed: (options: Omit<ResumeModern, "principal" | "endpoint">) => Promise<UpstreamAnswer>;
    }
  /** Another replica holds the call. */
  | { readonly kind: "elsewhere"; readonly replica: string };

/**
 * Translates between the two families of revisions. Answers come under an id that is not the client's
 * ({@link UpstreamAnswer.withId}), with the HTTP status that a stateless client expects.
 */
export interface Bridge {
  readonly replica: string;
  /**
   * Calls a legacy server for a stateless client. When the server asks something, the answer is `input_required`
   * with a sealed `requestState`, and the call waits for {@link Bridge.claim}.
   *
   * @throws UpstreamError, BridgeError, WireError
   */
  forwardModern(
    session: UpstreamSession,
    message: RequestMessage,
    options: ForwardModern,
  ): Promise<UpstreamAnswer>;
  /**
   * Takes what a legacy server said outside any call's stream, a question or a log message, when exactly one call of a
   * stateless client runs in the session; that it takes a question back, by the question's id.
   *
   * @returns false when it is nobody's; then the caller has to answer a question
   */
  offer(session: UpstreamSession, message: UpstreamMessage): boolean;
  /**
   * Takes a parked call for the client that comes back with its answers.
   *
   * @throws WireError for a state that is forged, of another call, or used before; BridgeError `outcome_unknown` when
   *   the call is gone
   */
  claim(message: RequestMessage, owner: Pick<ResumeModern, "principal" | "endpoint">): Claim;
  /** Calls a stateless server for a legacy client; its questions are put to the client in between. @throws UpstreamError */
  forwardLegacy(
    session: UpstreamSession,
    message: RequestMessage,
    options: ForwardLegacy,
  ): Promise<UpstreamAnswer>;
  /** The result of `server/discover` for any upstream. */
  discoverResult(session: UpstreamSession): JsonObject;
  /** The result of `initialize` for any upstream. */
  initializeResult(session: UpstreamSession, requestedVersion: unknown): JsonObject;
  stats(): { readonly parked: number; readonly parkedTotal: number; readonly expired: number };
  /** Gives all parked calls up. */
  close(): void;
}
