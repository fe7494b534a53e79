import { RPC } from "@gatewright/mcp-bridge";
import { type AskClient, type Bridge, localError, readLogLevel } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamAnswer, UpstreamRequest, UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { Crossing, CrossingOptions } from "../calls/crossing.ts";
import type { Route } from "../calls/target.ts";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";
import { answerSubscription, kept } from "./answer-subscription.ts";
import type { Exchange } from "./exchange.ts";
import type { Listening } from "./listening.ts";

/** What a client with a session needs in front of an upstream without. */
export interface LegacyClientDeps {
  readonly bridge: Bridge;
  /** How long a question waits for its answer. */
  readonly questionTimeoutMs: number;
  readonly listening: Listening;
}

/** A client with a session in front of an upstream that knows none: its questions are put to the client in between. */
export class LegacyClient implements Crossing {
  readonly era = "legacy";
  readonly #deps: LegacyClientDeps;
  readonly #exchange: Exchange;
  readonly #session: DownstreamSession;
  readonly #route: Route;

  constructor(deps: LegacyClientDeps, exchange: Exchange, session: DownstreamSession, route: Route) {
    this.#deps = deps;
    this.#exchange = exchange;
    this.#session = session;
    this.#route = route;
  }

  async send(
    session: UpstreamSession,
    request: UpstreamRequest,
    options: CrossingOptions,
  ): Promise<UpstreamAnswer> {
    const { onEnd } = options;
    try {
      this.#deps.listening.followLists(this.#session);
      const answer = (await this.#answerHere()) ?? (await this.#forward(session, request, options));
      onEnd({ answer });
      return answer;
    } catch (error) {
      onEnd({ error });
      throw error;
    }
  }

  /** Requests that say what every request to such an upstream says for itself. */
  async #answerHere(): Promise<UpstreamAnswer | undefined> {
    const { method, params } = this.#exchange.message;
    switch (method) {
      case "logging/setLevel": {
        const level = readLogLevel(params?.["level"]);
        if (level === undefined)
          return localError({ code: RPC.invalidParams, message: "unknown level" }, 200);
        this.#session.logLevel = level;
        return kept(this.#session);
      }
      case "resources/subscribe":
      case "resources/unsubscribe":
        return answerSubscription(this.#deps, this.#exchange, this.#session, this.#route);
      default:
        return undefined;
    }
  }

  async #forward(
    session: UpstreamSession,
    request: UpstreamRequest,
    { signal, timeoutMs, onMessage }: CrossingOptions,
  ): Promise<UpstreamAnswer> {
    const { hello, logLevel } = this.#session;
    try {
      return await this.#deps.bridge.forwardLegacy(session, this.#exchange.message, {
        client: hello,
        ask: (question, over) =>
          this.#ask(question, signal === undefined ? over : AbortSignal.any([signal, over])),
        logLevel,
        request,
        timeoutMs,
        signal,
        onMessage,
      });
    } catch (error) {
      if (error instanceof NoAnswer) return error.answer;
      throw error;
    }
  }

  async #ask({ method, params }: Parameters<AskClient>[0], signal: AbortSignal): Promise<string> {
    const question = this.#session.questions.ask(method, params);
    if (question === undefined) {
      const why = this.#session.onEnd.ended ? "'s session has ended here." : " has too many open questions.";
      throw noAnswer(`The client${why}`);
    }
    this.#tell(question.bytes);
    const giveUp = (reason: unknown) => {
      question.withdraw(reason);
      const params = `{"requestId":"${question.id}"}`;
      this.#tell(Buffer.from(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":${params}}`));
    };
    const onAbort = () => giveUp(signal.reason);
    const late = noAnswer(`The client did not answer ${method} in time.`);
    const timer = setTimeout(() => giveUp(late), this.#deps.questionTimeoutMs);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const answer = await question.answer;
      if ("result" in answer) return answer.result;
      throw refused(method, answer.error);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  #tell(bytes: Uint8Array): void {
    if (!this.#exchange.reply.message(bytes)) this.#session.deliver(bytes);
  }
}

/** Ends a call because its client does not answer: with an answer, so that nothing is repeated. */
class NoAnswer extends Error {
  readonly answer: UpstreamAnswer;
  constructor(answer: UpstreamAnswer) {
    super("the client did not answer");
    this.answer = answer;
  }
}

/** The call had begun, so that nobody is to think it was refused. */
function noAnswer(message: string): NoAnswer {
  const code = "outcome_unknown";
  const { rpcCode, retryable } = new GatewayError(code, message).surface;
  return new NoAnswer(localError({ code: rpcCode, message, data: { code, retryable } }, 200));
}

/** The client's own error becomes the answer of the call that the question belonged to. */
function refused(method: string, text: string): NoAnswer {
  const { code, message } = JSON.parse(text) as { readonly code?: unknown; readonly message?: unknown };
  return new NoAnswer(
    localError(
      {
        code: Number.isInteger(code) ? (code as number) : RPC.internalError,
        message: `The client did not answer ${method}: ${String(message)}`,
      },
      200,
    ),
  );
}
