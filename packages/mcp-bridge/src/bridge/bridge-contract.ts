import type { JsonObject, RequestMessage } from "../message.ts";
import type { UpstreamMessage, UpstreamSession } from "../upstream/upstream.ts";
import type { AskClient } from "./input-rounds.ts";
import type { TranslatedAnswer } from "./translate-answer.ts";

/** A stateless client's call to a server with sessions. */
export interface ForwardModern {
  /** Who calls: only the same principal may continue a parked call. */
  readonly principal: string;
  /** Time that the upstream has; waiting for the client is not counted. 0 = none. */
  readonly timeoutMs: number;
  /** The client went away: gives the call up while it runs. */
  readonly signal?: AbortSignal | undefined;
  /** Progress and log messages for the client, ready to be sent. */
  readonly onNotification?: ((bytes: Buffer) => void) | undefined;
  /** The upstream is done with the call, or it was given up: its session may go to others. Called once. */
  readonly onEnd?: (() => void) | undefined;
  /** Raw JSON of `params` to send instead of the message's own, for example under the upstream's own name. */
  readonly params?: string | Buffer | undefined;
}

/** The continuation of a parked call. */
export type ResumeModern = Omit<ForwardModern, "onEnd" | "params" | "timeoutMs">;

/** A call of a client with a session to a stateless server. */
export interface ForwardLegacy {
  /** What the client said in its handshake. */
  readonly client: { readonly clientInfo: JsonObject; readonly capabilities: JsonObject };
  /** Asks the client over its stream: raw JSON of the result. Rejects when it cannot or will not. */
  readonly ask: AskClient;
  /** The level that the client set by `logging/setLevel`. */
  readonly logLevel?: string | undefined;
  /** HTTP headers for the server, for example those of `encodeParamHeaders`. */
  readonly headers?: { readonly [name: string]: string } | undefined;
  /** Per round. 0 = none. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onMessage?: ((message: UpstreamMessage) => void) | undefined;
}

/** What becomes of a continuation: an answer, or the replica that holds the call. */
export type ResumeOutcome =
  | ({ readonly kind: "answer" } & TranslatedAnswer)
  | { readonly kind: "elsewhere"; readonly replica: string };

/** Translates between the two families of revisions. */
export interface Bridge {
  readonly replica: string;
  /**
   * Calls a legacy server for a stateless client. When the server asks something, the answer is `input_required`
   * with a sealed `requestState`, and the call waits for {@link Bridge.resumeModern}.
   *
   * @throws UpstreamError, BridgeError, WireError
   */
  forwardModern(
    session: UpstreamSession,
    message: RequestMessage,
    options: ForwardModern,
  ): Promise<TranslatedAnswer>;
  /**
   * Takes a question that a legacy server asked outside any call's stream, when exactly one call of a stateless client
   * runs in the session.
   *
   * @returns false when it is nobody's; then the caller has to answer it
   */
  offer(session: UpstreamSession, message: RequestMessage): boolean;
  /** Continues a parked call with the client's answers. @throws UpstreamError, BridgeError, WireError */
  resumeModern(message: RequestMessage, options: ResumeModern): Promise<ResumeOutcome>;
  /** Calls a stateless server for a legacy client; its questions are put to the client in between. @throws UpstreamError */
  forwardLegacy(
    session: UpstreamSession,
    message: RequestMessage,
    options: ForwardLegacy,
  ): Promise<TranslatedAnswer>;
  /** The result of `server/discover` for any upstream. */
  discoverResult(session: UpstreamSession): JsonObject;
  /** The result of `initialize` for any upstream. */
  initializeResult(session: UpstreamSession, requestedVersion: unknown): JsonObject;
  stats(): { readonly parked: number; readonly parkedTotal: number; readonly expired: number };
  /** Gives all parked calls up. */
  close(): void;
}
