import { RPC } from "../errors.ts";
import type { JsonObject, NotificationMessage, RequestMessage } from "../message.ts";
import { textOf } from "../splice.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import type { Deadlines, Expiring } from "../upstream/deadlines.ts";
import type { UpstreamMessage, UpstreamRequest, UpstreamSession } from "../upstream/upstream.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import type { CallOutcome } from "./bridge-contract.ts";
import { capabilityName, declares, neededCapability } from "./client-capability.ts";
import { KeptMessages } from "./kept-messages.ts";
import { OpenQuestions, type Question, withdrawnBy } from "./open-questions.ts";

/** What a bridged call comes to next. */
export type CallStep =
  | { readonly kind: "answer"; readonly answer: UpstreamAnswer }
  | { readonly kind: "questions"; readonly questions: ReadonlyMap<string, Question> };

/** Who waits for a call. */
export interface CallListener {
  /** Gives the call up for good. */
  readonly signal: AbortSignal | undefined;
  /** What the client may be told; kept while nobody waits. */
  readonly onMessage: (message: NotificationMessage) => void;
  /** Every notification at once, also while nobody waits. */
  readonly onHeard: ((message: NotificationMessage) => void) | undefined;
}

/** Options of {@link ParkedCall}. */
export interface ParkedCallOptions {
  readonly session: UpstreamSession;
  readonly request: UpstreamRequest;
  /** Time that the upstream has, waiting for the client not counted; 0 = none. */
  readonly timeoutMs: number;
  /** What the client declared that it can be asked. */
  readonly capabilities: JsonObject;
  readonly now: () => number;
  /** Keeps the time that the upstream has. */
  readonly deadlines: Deadlines;
  /** Most questions that may be open at once. */
  readonly maxQuestions: number;
  /** Answers that the client gave with the call (raw JSON by key): what they answer is not asked. */
  readonly given?: Map<string, string> | undefined;
  /** Whether the client can be asked during this call at all. */
  readonly askable: boolean;
  /** The call is over; called once. */
  readonly onEnd: (outcome: CallOutcome) => void;
}

/** The server needs something of the client that the client did not declare. */
export class MissingCapability extends Error {
  /** What it would have to declare. */
  readonly needed: JsonObject;
  constructor(needed: JsonObject) {
    super(`The server needs the client capability ${capabilityName(needed)}, which was not declared.`);
    this.needed = needed;
  }
}

/** How long further questions may follow the first before they are handed on together. */
const GATHER_MS = 2;

/**
 * One call to a legacy server on behalf of a stateless client. When the server asks something, the call stays
 * open ("parked") until the client comes back with the answers; the time it may take stands still meanwhile.
 */
export class ParkedCall implements Expiring {
  readonly session: UpstreamSession;
  readonly #options: ParkedCallOptions;
  readonly #controller = new AbortController();
  /** Made with the first question: most calls ask nothing. */
  #questions: OpenQuestions | undefined;
  #outcome: CallOutcome | undefined;
  #wake: (() => void) | undefined;
  /** Who waits, or waited last. */
  #listener: CallListener | undefined;
  #listening = false;
  /** What came while nobody listened, if anything did. */
  #kept: KeptMessages | undefined;
  deadlineAt = 0;
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  #leftMs: number;

  constructor(options: ParkedCallOptions) {
    this.#options = options;
    this.session = options.session;
    this.#leftMs = options.timeoutMs;
    const { session, request } = options;
    session
      .request(request, {
        signal: this.#controller.signal,
        timeoutMs: 0,
        onMessage: (message) => this.#message(message),
      })
      .then(
        (answer) => this.#settle({ answer }),
        (error: unknown) => this.#settle({ error }),
      );
  }

  /** When the oldest question came that is not answered yet. */
  get askedAt(): number | undefined {
    return this.#questions?.askedAt;
  }

  /**
   * Waits for the answer or for questions. The call runs while somebody waits here.
   *
   * @param responses the client's answers (raw JSON by key), handed to the server; keys that are no open question are
   *   ignored
   * @throws UpstreamError
   */
  async proceed(listener: CallListener, responses?: ReadonlyMap<string, string>): Promise<CallStep> {
    const { signal, onMessage } = listener;
    this.#listener = listener;
    this.#listening = true;
    if (this.#kept) for (const message of this.#kept.take()) onMessage(message);
    this.#startClock();
    // Whoever listens is known first: what the server says upon the answers may come before they are acknowledged.
    if (responses !== undefined) this.#answer(responses);
    const onAbort = () =>
      this.abort(new UpstreamError("aborted", "The request was aborted.", { phase: "sent_no_response" }));
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      while (!this.#outcome) {
        if (this.#openQuestions === 0) {
          await this.#change();
          continue;
        }
        await this.#gather();
        // What was asked may have been withdrawn meanwhile.
        if (this.#openQuestions > 0) break;
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#stopClock();
      this.#listening = false;
    }
    const outcome = this.#outcome;
    if (outcome === undefined) return { kind: "questions", questions: this.#questions?.list() ?? new Map() };
    if ("error" in outcome) throw outcome.error;
    return { kind: "answer", answer: outcome.answer };
  }

  /** Gives the call up: the upstream is told to cancel. */
  abort(error: unknown): void {
    if (this.#outcome) return;
    this.#settle({ error });
    this.#controller.abort();
  }

  /** Takes a question back that the server no longer asks. Returns false when it is none of this call. */
  withdraw(idText: string): boolean {
    return this.#questions?.withdraw(idText) ?? false;
  }

  /** Takes what came outside the call's own stream. */
  take(message: UpstreamMessage): void {
    this.#message(message);
  }

  #message(message: UpstreamMessage): void {
    if (message.kind === "request") {
      this.#question(message);
      return;
    }
    const withdrawn = withdrawnBy(message);
    if (withdrawn !== undefined) {
      // A stateless client knows nothing of the server's ids.
      this.withdraw(withdrawn);
      return;
    }
    this.#listener?.onHeard?.(message);
    if (this.#listening) this.#listener?.onMessage(message);
    else {
      this.#kept ??= new KeptMessages();
      this.#kept.keep(message);
    }
  }

  #answer(responses: ReadonlyMap<string, string>): void {
    for (const [key, result] of responses) {
      const idText = this.#questions?.close(key);
      if (idText !== undefined) this.#respond(idText, result);
    }
  }

  #respond(idText: string, result: string): void {
    this.session.respond({ idText, result }).catch((error: unknown) => this.abort(unheard(error)));
  }

  #question(message: RequestMessage): void {
    const { method } = message;
    const idText = textOf(message.bytes, message.idSpan);
    if (method === "ping") {
      this.session.respond({ idText, result: "{}" }).catch(() => undefined);
      return;
    }
    const needed = neededCapability(method, message.params);
    const { capabilities, askable, maxQuestions } = this.#options;
    const missing = askable && needed !== undefined && !declares(capabilities, needed);
    if (needed === undefined || !askable || missing || this.#openQuestions >= maxQuestions) {
      const text = missing
        ? `The client did not declare ${capabilityName(needed)}.`
        : "The client cannot be asked this.";
      const error = JSON.stringify({ code: RPC.methodNotFound, message: text });
      this.session.respond({ idText, error }).catch(() => undefined);
      if (missing) this.abort(new MissingCapability(needed));
      return;
    }
    this.#questions ??= new OpenQuestions();
    const key = this.#questions.keyFor(method, message.params);
    const result = this.#options.given?.get(key);
    if (result !== undefined) {
      this.#respond(idText, result);
      return;
    }
    this.#questions.add(key, message, this.#options.now());
    this.#wake?.();
  }

  #settle(outcome: CallOutcome): void {
    if (this.#outcome) return;
    this.#outcome = outcome;
    this.#wake?.();
    this.#options.onEnd(outcome);
  }

  get #openQuestions(): number {
    return this.#questions?.size ?? 0;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #gather(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, GATHER_MS));
  }

  /** The time that the upstream has is over. */
  expire(): void {
    const text = `The upstream did not answer within ${this.#options.timeoutMs} ms.`;
    this.abort(new UpstreamError("upstream_timeout", text, { phase: "sent_no_response" }));
  }

  #startClock(): void {
    const { timeoutMs, deadlines } = this.#options;
    if (timeoutMs === 0 || this.#outcome) return;
    const now = performance.now();
    this.deadlineAt = now + Math.max(0, this.#leftMs);
    deadlines.add(this, now);
  }

  #stopClock(): void {
    if (this.deadlineAt === 0) return;
    this.#options.deadlines.remove(this);
    if (!this.#outcome) this.#leftMs = this.deadlineAt - performance.now();
    this.deadlineAt = 0;
  }
}

/** An answer did not reach the upstream: however that was refused, the call that asked for it had begun. */
function unheard(error: unknown): unknown {
  if (!UpstreamError.is(error)) return error;
  return new UpstreamError(error.code, error.message, { phase: "sent_no_response", cause: error });
}
