import { randomUUID } from "node:crypto";
import { z } from "zod";
import { encodeErrorBody } from "../error-body.ts";
import { RPC, WireError } from "../errors.ts";
import type { JsonObject, NotificationMessage, RequestMessage } from "../message.ts";
import { parseOptions } from "../parse-options.ts";
import { LEGACY_REVISIONS, META, negotiateLegacy, SUPPORTED_REVISIONS } from "../revisions.ts";
import { splice, textOf } from "../splice.ts";
import type { UpstreamMessage, UpstreamSession } from "../upstream/upstream.ts";
import { BridgeError } from "./bridge-error.ts";
import { callDigest } from "./call-digest.ts";
import { envelopeMembers, extendParams, membersOf, paramsText } from "./edit-members.ts";
import { type AskClient, answerInputRequests, inputRequiredOf } from "./input-rounds.ts";
import { passesLogLevel, readLogLevel, severityOf } from "./log-levels.ts";
import { type CallStep, MissingCapability, ParkedCall, type Question } from "./parked-call.ts";
import { createSealer, type Sealer } from "./sealer.ts";
import { synthesizeHandshake, type TranslatedAnswer, toLegacy, toModern } from "./translate-answer.ts";

/** Options of {@link createBridge}. */
export interface BridgeOptions {
  /** At least 32 bytes, the same on every replica: seals `requestState`. */
  readonly secret: Uint8Array;
  /** Secrets whose states are still accepted. Default none. */
  readonly previousSecrets?: readonly Uint8Array[];
  /** Names this process among its replicas, anew with each start. Default: a random UUID. */
  readonly replica?: string;
  /** How long a call waits for its client, at most 120 000. Default 120 000. */
  readonly parkedTtlMs?: number;
  /** Most calls that wait at once. Default 1 000. */
  readonly maxParked?: number;
  /** Most of them of one principal. Default 20. */
  readonly maxParkedPerPrincipal?: number;
  /** Most questions of one call that are open at once. Default 16. */
  readonly maxQuestions?: number;
  /** Most rounds of questions of a modern server within one call. Default 16. */
  readonly maxRounds?: number;
}

const schema = z.strictObject({
  secret: z.instanceof(Uint8Array),
  previousSecrets: z.array(z.instanceof(Uint8Array)).default([]),
  replica: z
    .string()
    .min(1)
    .default(() => randomUUID()),
  parkedTtlMs: z.int().min(1).max(120_000).default(120_000),
  maxParked: z.int().min(1).default(1_000),
  maxParkedPerPrincipal: z.int().min(1).default(20),
  maxQuestions: z.int().min(1).default(16),
  maxRounds: z.int().min(1).default(16),
});

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

/** What {@link createBridge} takes from outside. */
export interface BridgeDeps {
  /** Monotonic milliseconds. Default `performance.now`. */
  readonly now?: () => number;
}

/** Makes a {@link Bridge}. @throws OptionsError, RangeError for a short secret */
export function createBridge(options: BridgeOptions, deps: BridgeDeps = {}): Bridge {
  return new EraBridge(parseOptions(schema, options), deps.now ?? (() => performance.now()));
}

/** Legacy methods that stateless revisions do not have. */
const REMOVED: ReadonlySet<string> = new Set([
  "initialize",
  "ping",
  "logging/setLevel",
  "resources/subscribe",
  "resources/unsubscribe",
  "tasks/list",
  "tasks/result",
]);

interface Parked {
  readonly call: ParkedCall;
  readonly principal: string;
  /** The original call's raw progress token. */
  readonly token: string | undefined;
  nonce: string;
  timer: NodeJS.Timeout | undefined;
}

interface SealedState {
  readonly parked: string;
  readonly replica: string;
  readonly nonce: string;
}

/** Most used nonces that are remembered, to tell a second use from a lost call. */
const MAX_SPENT = 10_000;

class EraBridge implements Bridge {
  readonly replica: string;
  readonly #options: z.output<typeof schema>;
  readonly #now: () => number;
  readonly #sealer: Sealer;
  readonly #parked = new Map<string, Parked>();
  readonly #spent = new Set<string>();
  /** Calls of stateless clients that run, or wait, in a session. */
  readonly #active = new WeakMap<UpstreamSession, Set<ParkedCall>>();
  readonly #logLevels = new WeakMap<UpstreamSession, string>();
  #parkedTotal = 0;
  #expired = 0;

  constructor(options: z.output<typeof schema>, now: () => number) {
    const { secret, previousSecrets, replica } = options;
    this.#options = options;
    this.#now = now;
    this.replica = replica;
    this.#sealer = createSealer({ secret, previousSecrets, label: "state" });
  }

  async forwardModern(
    session: UpstreamSession,
    message: RequestMessage,
    options: ForwardModern,
  ): Promise<TranslatedAnswer> {
    const { method, params, extras } = message;
    const { timeoutMs, onEnd = () => undefined } = options;
    if (REMOVED.has(method)) {
      onEnd();
      return methodNotFound(message);
    }
    const meta = metaOf(params);
    await this.#setLogLevel(session, readLogLevel(meta[META.logLevel]));
    const active = this.#active.get(session) ?? new Set();
    this.#active.set(session, active);
    const call: ParkedCall = new ParkedCall({
      session,
      request: { method, params: options.params ?? paramsText(message), extras },
      timeoutMs,
      capabilities: (meta[META.clientCapabilities] ?? {}) as JsonObject,
      now: this.#now,
      maxQuestions: this.#options.maxQuestions,
      onEnd: () => {
        active.delete(call);
        onEnd();
      },
    });
    active.add(call);
    const { progressToken } = message.spans;
    const token = progressToken && textOf(message.bytes, progressToken);
    return await this.#proceed(
      { call, principal: options.principal, token, nonce: "", timer: undefined },
      message,
      options,
    );
  }

  offer(session: UpstreamSession, message: RequestMessage): boolean {
    const active = this.#active.get(session);
    if (active?.size !== 1) return false;
    for (const call of active) call.take(message);
    return true;
  }

  async resumeModern(message: RequestMessage, options: ResumeModern): Promise<ResumeOutcome> {
    const idText = textOf(message.bytes, message.idSpan);
    const refuse = () => new WireError("invalid_params", "The requestState is not valid.", { idText });
    const token = message.params?.["requestState"];
    const opened =
      typeof token === "string" ? this.#sealer.open(token, bindingOf(message, options.principal)) : undefined;
    if (opened === undefined) throw refuse();
    const state = opened as SealedState;
    if (state.replica !== this.replica) return { kind: "elsewhere", replica: state.replica };
    const parked = this.#parked.get(state.parked);
    if (this.#spent.has(state.nonce) || (parked && parked.nonce !== state.nonce)) throw refuse();
    if (parked === undefined)
      throw new BridgeError("outcome_unknown", "The call no longer waits for this answer.");
    clearTimeout(parked.timer);
    this.#parked.delete(state.parked);
    this.#spend(state.nonce);
    const { inputResponses } = message.spans;
    const responses = inputResponses ? membersOf(message.bytes, inputResponses) : new Map<string, string>();
    try {
      await parked.call.answer(responses);
    } catch (error) {
      parked.call.abort(error);
    }
    return { kind: "answer", ...(await this.#proceed(parked, message, options)) };
  }

  async forwardLegacy(
    session: UpstreamSession,
    message: RequestMessage,
    options: ForwardLegacy,
  ): Promise<TranslatedAnswer> {
    const { client, ask, logLevel, timeoutMs, signal, onMessage } = options;
    const { method, extras } = message;
    const idText = textOf(message.bytes, message.idSpan);
    const meta = envelopeMembers(session.protocolVersion, client, logLevel);
    let more: { readonly inputResponses?: string | undefined; readonly requestState?: string | undefined } =
      {};
    for (let round = 0; round <= this.#options.maxRounds; round++) {
      const params = extendParams(message, { ...more, meta });
      const answer = await session.request({ method, params, extras }, { timeoutMs, signal, onMessage });
      const wanted = inputRequiredOf(answer);
      if (wanted === undefined) return toLegacy(answer, method, idText);
      more = { inputResponses: await answerInputRequests(wanted, ask), requestState: wanted.requestState };
    }
    throw new BridgeError("overloaded", `The upstream asked more than ${this.#options.maxRounds} times.`);
  }

  discoverResult(session: UpstreamSession): JsonObject {
    const versions = { supported: SUPPORTED_REVISIONS, serverInfoKey: META.serverInfo };
    return synthesizeHandshake("modern", session, versions);
  }

  initializeResult(session: UpstreamSession, requestedVersion: unknown): JsonObject {
    const chosen = negotiateLegacy(requestedVersion);
    const supported = [chosen, ...LEGACY_REVISIONS.filter((version) => version !== chosen)];
    return synthesizeHandshake("legacy", session, { supported, serverInfoKey: META.serverInfo });
  }

  stats() {
    return { parked: this.#parked.size, parkedTotal: this.#parkedTotal, expired: this.#expired };
  }

  close(): void {
    for (const { call, timer } of this.#parked.values()) {
      clearTimeout(timer);
      call.abort(new BridgeError("outcome_unknown", "The gateway stopped."));
    }
    this.#parked.clear();
  }

  /** Makes a legacy server log what this client wants; others of the same session filter what they get. */
  async #setLogLevel(session: UpstreamSession, level: string | undefined): Promise<void> {
    if (level === undefined || session.capabilities["logging"] === undefined) return;
    const current = this.#logLevels.get(session);
    if (current !== undefined && severityOf(current) <= severityOf(level)) return;
    this.#logLevels.set(session, level);
    const request = { method: "logging/setLevel", params: JSON.stringify({ level }) };
    await session.request(request).catch(() => undefined);
  }

  /** Lets a call run until it answers or asks. */
  async #proceed(parked: Parked, message: RequestMessage, options: ResumeModern): Promise<TranslatedAnswer> {
    const idText = textOf(message.bytes, message.idSpan);
    const { onNotification } = options;
    const level = readLogLevel(metaOf(message.params)[META.logLevel]);
    const { progressToken } = message.spans;
    const token = progressToken && textOf(message.bytes, progressToken);
    const onMessage = (notification: NotificationMessage) => {
      if (!passesLogLevel(notification, level)) return;
      const bytes = underToken(notification, parked.token, token);
      if (bytes !== undefined) onNotification?.(bytes);
    };
    let step: CallStep;
    try {
      step = await parked.call.next(options.signal, onMessage);
    } catch (error) {
      if (error instanceof MissingCapability) return missingCapability(error, idText);
      throw error;
    }
    if (step.kind === "answer") return toModern(step.answer, message.method, idText);
    const requestState = this.#park(parked, message);
    const body = `{"jsonrpc":"2.0","id":${idText},"result":{"resultType":"input_required","inputRequests":${encodeQuestions(step.questions)},"requestState":${JSON.stringify(requestState)}}}`;
    return { body: Buffer.from(body), httpStatus: 200 };
  }

  #park(parked: Parked, message: RequestMessage): string {
    const { maxParked, maxParkedPerPrincipal, parkedTtlMs } = this.#options;
    const { principal, call } = parked;
    let own = 0;
    for (const other of this.#parked.values()) if (other.principal === principal) own++;
    if (this.#parked.size >= maxParked || own >= maxParkedPerPrincipal) {
      const error = new BridgeError("overloaded", "Too many calls wait for input.");
      call.abort(error);
      throw error;
    }
    const id = randomUUID();
    parked.nonce = randomUUID();
    parked.timer = setTimeout(() => this.#expire(id), parkedTtlMs);
    parked.timer.unref();
    this.#parked.set(id, parked);
    this.#parkedTotal++;
    const state: SealedState = { parked: id, replica: this.replica, nonce: parked.nonce };
    return this.#sealer.seal(state, bindingOf(message, principal));
  }

  #expire(id: string): void {
    const parked = this.#parked.get(id);
    if (parked === undefined) return;
    this.#parked.delete(id);
    this.#expired++;
    parked.call.abort(new BridgeError("outcome_unknown", "The client did not answer in time."));
  }

  #spend(nonce: string): void {
    this.#spent.add(nonce);
    const [oldest] = this.#spent;
    if (this.#spent.size > MAX_SPENT && oldest !== undefined) this.#spent.delete(oldest);
  }
}

/** What a sealed state is valid for: this principal and this very call. */
function bindingOf(message: RequestMessage, principal: string): string {
  return JSON.stringify([principal, callDigest(message)]);
}

function metaOf(params: JsonObject | undefined): JsonObject {
  const meta = params?.["_meta"];
  return typeof meta === "object" && meta !== null ? (meta as JsonObject) : {};
}

function methodNotFound(message: RequestMessage): TranslatedAnswer {
  const idText = textOf(message.bytes, message.idSpan);
  const text = `Method not found: ${message.method}`;
  const body = encodeErrorBody({ idText, code: RPC.methodNotFound, message: text });
  return { body: Buffer.from(body), httpStatus: 404 };
}

function missingCapability(error: MissingCapability, idText: string): TranslatedAnswer {
  const data = { requiredCapabilities: { [error.capability]: {} } };
  const body = encodeErrorBody({ idText, code: RPC.missingClientCapability, message: error.message, data });
  return { body: Buffer.from(body), httpStatus: 400 };
}

/** A progress notification goes on under the token of the request that is being answered; without one it ends here. */
function underToken(
  message: NotificationMessage,
  original: string | undefined,
  current: string | undefined,
): Buffer | undefined {
  const span = message.spans.notifiedToken;
  if (message.method !== "notifications/progress" || !span) return message.bytes;
  if (current === undefined) return undefined;
  if (textOf(message.bytes, span) !== original || original === current) return message.bytes;
  return splice(message.bytes, [{ ...span, text: current }]);
}

function encodeQuestions(questions: ReadonlyMap<string, Question>): string {
  const members = [...questions].map(([key, { method, params }]) => {
    const rest = params === undefined ? "" : `,"params":${params}`;
    return `${JSON.stringify(key)}:{"method":${JSON.stringify(method)}${rest}}`;
  });
  return `{${members.join(",")}}`;
}
