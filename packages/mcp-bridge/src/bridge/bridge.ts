import type { z } from "zod";
import { RPC } from "../errors.ts";
import type { JsonObject, NotificationMessage, RequestMessage } from "../message.ts";
import { parseOptions } from "../parse-options.ts";
import { LEGACY_REVISIONS, META, negotiateLegacy, SUPPORTED_REVISIONS } from "../revisions.ts";
import { splice, textOf } from "../splice.ts";
import { abortError, pause } from "../upstream/abort.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import { Deadlines } from "../upstream/deadlines.ts";
import { localError, localResult } from "../upstream/local-answer.ts";
import type { UpstreamMessage, UpstreamRequest, UpstreamSession } from "../upstream/upstream.ts";
import { onceBegun, UpstreamError } from "../upstream/upstream-error.ts";
import type { Bridge, Claim, ForwardLegacy, ForwardModern, ResumeModern } from "./bridge-contract.ts";
import { BridgeError } from "./bridge-error.ts";
import { type BridgeOptions, bridgeSchema } from "./bridge-options.ts";
import { declares } from "./client-capability.ts";
import { envelopeMembers, extendParams, membersOf, paramsBytes, withoutMembers } from "./edit-members.ts";
import { answerInputRequests, inputRequiredOf, undeclaredBy } from "./input-rounds.ts";
import { passesLogLevel, readLogLevel } from "./log-levels.ts";
import { type Question, withdrawnBy } from "./open-questions.ts";
import { type CallStep, MissingCapability, ParkedCall } from "./parked-call.ts";
import { ServerLogLevels } from "./server-log-levels.ts";
import { LIST_NOTIFICATIONS } from "./subscription-filter.ts";
import { synthesizeHandshake, toLegacy, toModern } from "./translate-answer.ts";
import { declinesVisit, visitsRequired } from "./url-elicitation.ts";
import { type CallOwner, type WaitingCall, WaitingCalls } from "./waiting-calls.ts";

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

/** Methods during which a stateless client may be asked something (2026-07-28, "Supported Requests"). */
const ASKING: ReadonlySet<string> = new Set(["tools/call", "prompts/get", "resources/read"]);

/** Notifications that stateless clients get by `subscriptions/listen` alone, or no longer know. */
const CHANGES: ReadonlySet<string> = new Set([
  ...Object.values(LIST_NOTIFICATIONS),
  "notifications/resources/updated",
  "notifications/elicitation/complete",
]);

/** How long a stateless server that asks nothing, but wants its call made again, is left alone. */
const REPEAT_MS = 250;

class EraBridge implements Bridge {
  readonly replica: string;
  readonly #options: z.output<typeof bridgeSchema>;
  readonly #now: () => number;
  readonly #waiting: WaitingCalls;
  /** Calls of stateless clients that run, or wait, in a session. */
  readonly #active = new WeakMap<UpstreamSession, Set<ParkedCall>>();
  /** Of the calls of stateless clients that run. */
  readonly #deadlines = new Deadlines();
  readonly #logLevels: ServerLogLevels;

  constructor(options: z.output<typeof bridgeSchema>, now: () => number) {
    this.#options = options;
    this.#now = now;
    this.replica = options.replica;
    this.#waiting = new WaitingCalls({ ...options, now });
    this.#logLevels = new ServerLogLevels(now);
  }

  async forwardModern(
    session: UpstreamSession,
    message: RequestMessage,
    options: ForwardModern,
  ): Promise<UpstreamAnswer> {
    const { method, params, extras } = message;
    const { signal, onEnd = () => undefined } = options;
    let { timeoutMs } = options;
    if (REMOVED.has(method)) {
      const answer = methodNotFound(message);
      onEnd({ answer });
      return answer;
    }
    const meta = metaOf(params);
    const level = readLogLevel(meta[META.logLevel]);
    if (level !== undefined) {
      const startedMs = this.#now();
      await this.#logLevels.want(session, level, timeoutMs, signal);
      if (timeoutMs > 0) timeoutMs = Math.max(1, timeoutMs - (this.#now() - startedMs));
    }
    if (signal?.aborted) {
      const error = abortError(signal, "not_sent");
      onEnd({ error });
      throw error;
    }
    const active = this.#active.get(session) ?? new Set();
    this.#active.set(session, active);
    const call: ParkedCall = new ParkedCall({
      session,
      given: answersOf(message),
      request: freshRequest(options.request ?? { method, params: paramsBytes(message), extras }, message),
      timeoutMs,
      capabilities: (meta[META.clientCapabilities] ?? {}) as JsonObject,
      askable: ASKING.has(method),
      now: this.#now,
      deadlines: this.#deadlines,
      maxQuestions: this.#options.maxQuestions,
      onEnd: (outcome) => {
        active.delete(call);
        onEnd(outcome);
      },
    });
    active.add(call);
    const { progressToken } = message.spans;
    const token = progressToken && textOf(message.bytes, progressToken);
    return await this.#proceed({ call, owner: ownerOf(options), token }, message, options);
  }

  offer(session: UpstreamSession, message: UpstreamMessage): boolean {
    const active = this.#active.get(session);
    const withdrawn = withdrawnBy(message);
    if (withdrawn !== undefined) return [...(active ?? [])].some((call) => call.withdraw(withdrawn));
    if (active?.size !== 1) return false;
    for (const call of active) call.take(message);
    return true;
  }

  claim(message: RequestMessage, owner: Pick<ResumeModern, "principal" | "endpoint">): Claim {
    const taken = this.#waiting.take(message, ownerOf(owner));
    if ("replica" in taken) return { kind: "elsewhere", replica: taken.replica };
    return { kind: "here", proceed: (options) => this.#proceed(taken, message, options, answersOf(message)) };
  }

  async forwardLegacy(
    session: UpstreamSession,
    message: RequestMessage,
    options: ForwardLegacy,
  ): Promise<UpstreamAnswer> {
    const { client, ask, logLevel, signal, onMessage } = options;
    let { timeoutMs } = options;
    const { method, extras } = message;
    const request = options.request ?? { method, extras, params: paramsBytes(message) };
    const raw = typeof request.params === "string" ? Buffer.from(request.params) : request.params;
    const meta = envelopeMembers(session.protocolVersion, client, logLevel);
    let more: { readonly inputResponses?: string | undefined; readonly requestState?: string | undefined } =
      {};
    for (let round = 0; round <= this.#options.maxRounds; round++) {
      const params = extendParams(raw, { ...more, meta });
      const askedMs = this.#now();
      const asking = session.request({ ...request, params }, { timeoutMs, signal, onMessage });
      const answer = await (round === 0 ? asking : asking.catch(throwOnceBegun));
      const wanted = inputRequiredOf(answer);
      if (wanted === undefined) return toLegacy(answer, method);
      const undeclared = undeclaredBy(client.capabilities, wanted);
      if (undeclared) return toLegacy(missingCapability(new MissingCapability(undeclared)), method);
      if (wanted.requests.size === 0) {
        await pause(Math.min(REPEAT_MS, timeoutMs || REPEAT_MS), signal, "sent_no_response");
      }
      if (timeoutMs > 0) timeoutMs = Math.max(1, timeoutMs - (this.#now() - askedMs));
      more = { inputResponses: await answerInputRequests(wanted, ask), requestState: wanted.requestState };
    }
    throw new BridgeError(
      "outcome_unknown",
      `The upstream asked more than ${this.#options.maxRounds} times.`,
    );
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

  /** Lets a call run, with the client's answers to what it asked, until it answers or asks. */
  async #proceed(
    parked: WaitingCall,
    message: RequestMessage,
    options: Omit<ResumeModern, "principal" | "endpoint">,
    responses?: ReadonlyMap<string, string>,
  ): Promise<UpstreamAnswer> {
    const { onNotification, onHeard, signal } = options;
    const level = readLogLevel(metaOf(message.params)[META.logLevel]);
    const { progressToken } = message.spans;
    const token = progressToken && textOf(message.bytes, progressToken);
    const onMessage = (notification: NotificationMessage) => {
      if (CHANGES.has(notification.method) || !passesLogLevel(notification, level)) return;
      const bytes = underToken(notification, parked.token, token);
      if (bytes !== undefined) onNotification?.(bytes);
    };
    let step: CallStep;
    try {
      step = await parked.call.proceed({ signal, onMessage, onHeard }, responses);
    } catch (error) {
      if (error instanceof MissingCapability) return missingCapability(error);
      throw error;
    }
    if (step.kind === "answer") return this.#finish(step.answer, message);
    const requestState = this.#waiting.park(parked, message);
    return localResult(
      `{"resultType":"input_required","inputRequests":${encodeQuestions(step.questions)},"requestState":${JSON.stringify(requestState)}}`,
    );
  }

  /**
   * The server's answer, translated. A user who has to visit a URL first is sent there: without a state, for the call
   * was refused before it did anything, and is made anew when the client comes back.
   */
  #finish(answer: UpstreamAnswer, message: RequestMessage): UpstreamAnswer {
    const { method, params } = message;
    const visits = ASKING.has(method) ? visitsRequired(answer, this.#options.maxQuestions) : undefined;
    if (visits === undefined || declinesVisit(message)) return toModern(answer, method);
    const capabilities = (metaOf(params)[META.clientCapabilities] ?? {}) as JsonObject;
    const needed = { elicitation: { url: {} } };
    if (!declares(capabilities, needed)) return missingCapability(new MissingCapability(needed));
    return localResult(`{"resultType":"input_required","inputRequests":${encodeQuestions(visits)}}`);
  }
}

/** The client's answers, raw, by the keys of their questions. */
function answersOf({ bytes, spans }: RequestMessage): Map<string, string> | undefined {
  return spans.inputResponses && membersOf(bytes, spans.inputResponses);
}

/** The message's request without what the bridge reads: a server with sessions knows nothing of it. */
function freshRequest(request: UpstreamRequest, { spans }: RequestMessage): UpstreamRequest {
  if (spans.inputResponses === undefined && spans.requestState === undefined) return request;
  const params = withoutMembers(request.params, ["inputResponses", "requestState"]);
  return params === request.params ? request : { ...request, params };
}

function ownerOf({ principal, endpoint = "" }: Pick<ResumeModern, "principal" | "endpoint">): CallOwner {
  return { principal, endpoint };
}

function metaOf(params: JsonObject | undefined): JsonObject {
  const meta = params?.["_meta"];
  return typeof meta === "object" && meta !== null ? (meta as JsonObject) : {};
}

function throwOnceBegun(error: unknown): never {
  throw UpstreamError.is(error) ? onceBegun(error) : error;
}

function methodNotFound({ method }: RequestMessage): UpstreamAnswer {
  return localError({ code: RPC.methodNotFound, message: `Method not found: ${method}` }, 404);
}

function missingCapability({ needed, message }: MissingCapability): UpstreamAnswer {
  const data = { requiredCapabilities: needed };
  return localError({ code: RPC.missingClientCapability, message, data }, 400);
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
