import type { z } from "zod";
import { encodeErrorBody } from "../error-body.ts";
import { RPC } from "../errors.ts";
import type { JsonObject, NotificationMessage, RequestMessage } from "../message.ts";
import { parseOptions } from "../parse-options.ts";
import { LEGACY_REVISIONS, META, negotiateLegacy, SUPPORTED_REVISIONS } from "../revisions.ts";
import { splice, textOf } from "../splice.ts";
import type { UpstreamSession } from "../upstream/upstream.ts";
import type { Bridge, ForwardLegacy, ForwardModern, ResumeModern, ResumeOutcome } from "./bridge-contract.ts";
import { BridgeError } from "./bridge-error.ts";
import { type BridgeOptions, bridgeSchema } from "./bridge-options.ts";
import { envelopeMembers, extendParams, membersOf, paramsText } from "./edit-members.ts";
import { answerInputRequests, inputRequiredOf } from "./input-rounds.ts";
import { passesLogLevel, readLogLevel, severityOf } from "./log-levels.ts";
import { type CallStep, MissingCapability, ParkedCall, type Question } from "./parked-call.ts";
import { synthesizeHandshake, type TranslatedAnswer, toLegacy, toModern } from "./translate-answer.ts";
import { type WaitingCall, WaitingCalls } from "./waiting-calls.ts";

/** What {@link createBridge} takes from outside. */
export interface BridgeDeps {
  /** Monotonic milliseconds. Default `performance.now`. */
  readonly now?: () => number;
}

/** Makes a {@link Bridge}. @throws OptionsError, RangeError for a short secret */
export function createBridge(options: BridgeOptions, deps: BridgeDeps = {}): Bridge {
  return new EraBridge(parseOptions(bridgeSchema, options), deps.now ?? (() => performance.now()));
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

class EraBridge implements Bridge {
  readonly replica: string;
  readonly #options: z.output<typeof bridgeSchema>;
  readonly #now: () => number;
  readonly #waiting: WaitingCalls;
  /** Calls of stateless clients that run, or wait, in a session. */
  readonly #active = new WeakMap<UpstreamSession, Set<ParkedCall>>();
  readonly #logLevels = new WeakMap<UpstreamSession, string>();

  constructor(options: z.output<typeof bridgeSchema>, now: () => number) {
    this.#options = options;
    this.#now = now;
    this.replica = options.replica;
    this.#waiting = new WaitingCalls(options);
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
    return await this.#proceed({ call, principal: options.principal, token }, message, options);
  }

  offer(session: UpstreamSession, message: RequestMessage): boolean {
    const active = this.#active.get(session);
    if (active?.size !== 1) return false;
    for (const call of active) call.take(message);
    return true;
  }

  async resumeModern(message: RequestMessage, options: ResumeModern): Promise<ResumeOutcome> {
    const parked = this.#waiting.take(message, options.principal);
    if ("replica" in parked) return { kind: "elsewhere", replica: parked.replica };
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
    const { client, ask, logLevel, headers, timeoutMs, signal, onMessage } = options;
    const { method, extras } = message;
    const idText = textOf(message.bytes, message.idSpan);
    const meta = envelopeMembers(session.protocolVersion, client, logLevel);
    let more: { readonly inputResponses?: string | undefined; readonly requestState?: string | undefined } =
      {};
    for (let round = 0; round <= this.#options.maxRounds; round++) {
      const params = extendParams(message, { ...more, meta });
      const answer = await session.request(
        { method, params, extras, headers },
        { timeoutMs, signal, onMessage },
      );
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
    return this.#waiting.stats();
  }

  close(): void {
    this.#waiting.close();
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
  async #proceed(
    parked: WaitingCall,
    message: RequestMessage,
    options: ResumeModern,
  ): Promise<TranslatedAnswer> {
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
    const requestState = this.#waiting.park(parked, message);
    const body = `{"jsonrpc":"2.0","id":${idText},"result":{"resultType":"input_required","inputRequests":${encodeQuestions(step.questions)},"requestState":${JSON.stringify(requestState)}}}`;
    return { body: Buffer.from(body), httpStatus: 200 };
  }
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
