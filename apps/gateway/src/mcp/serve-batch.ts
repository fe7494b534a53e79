import {
  type BatchMessage,
  DEFAULT_LEGACY,
  type NotificationMessage,
  type RequestMessage,
  type ResponseMessage,
  type Span,
  splice,
  textOf,
  WireError,
} from "@gatewright/mcp-bridge";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { GatewayError } from "../errors.ts";
import { failureAnswer } from "../http/failure-answer.ts";
import type { RpcReply } from "../http/rpc-reply.ts";
import type { AggregateDeps } from "./aggregate-endpoint.ts";
import type { Exchange } from "./exchange.ts";
import type { Reply } from "./reply.ts";
import { runExchange } from "./run-exchange.ts";
import { takeOneWay } from "./take-one-way.ts";

/** What the requests of a batch have in common. */
export interface BatchCaller
  extends Pick<Exchange, "principal" | "target" | "headers" | "clientIp" | "requestId"> {
  /** None where requests are served without a handshake. */
  readonly session: DownstreamSession | undefined;
  readonly reply: RpcReply;
  /** Cancels all requests, where the client's leaving does: without a session. */
  readonly control?: AbortController;
  /** Told of failures that are the gateway's own fault. */
  readonly onFailure: (error: unknown, requestId: string) => void;
}

/**
 * Serves the messages of one body, which revision 2025-03-26 alone knows: side by side, each as if it had come alone, and
 * answered by one array once all have been.
 *
 * @throws {WireError} `invalid_request` in a session of another revision, or with a handshake in it
 */
export async function serveBatch(
  deps: AggregateDeps,
  { messages }: BatchMessage,
  caller: BatchCaller,
): Promise<void> {
  const { session, reply } = caller;
  // A client that shook no hands, and names no other revision, speaks this one.
  if (session !== undefined && session.hello.protocolVersion !== DEFAULT_LEGACY) {
    throw new WireError("invalid_request", `Batches belong to revision ${DEFAULT_LEGACY} alone.`);
  }
  if (messages.some((message) => message.kind === "request" && message.method === "initialize")) {
    throw new WireError("invalid_request", "initialize may not be part of a batch.");
  }
  const answers = await Promise.all(
    messages.map(async (message) => {
      if (message.kind === "request") return answerOf(deps, message, caller);
      if (session !== undefined) await takePart(session, message, caller);
      return undefined;
    }),
  );
  const given = answers.filter((answer) => answer !== undefined);
  if (given.length > 0) reply.answer(`[${given.join(",")}]`);
  else if (messages.some(({ kind }) => kind === "request")) reply.abandon();
  else reply.accepted();
}

/** Takes what gets no answer: that it could not be taken is no reason to withhold those of the others. */
async function takePart(
  session: DownstreamSession,
  message: NotificationMessage | ResponseMessage,
  { onFailure, requestId }: BatchCaller,
): Promise<void> {
  try {
    await takeOneWay(session, message);
  } catch (error) {
    if (!GatewayError.is(error)) onFailure(error, requestId);
  }
}

/** The answer to one request; none when it was cancelled. */
async function answerOf(
  deps: AggregateDeps,
  message: RequestMessage,
  caller: BatchCaller,
): Promise<string | undefined> {
  const { session, reply: whole, onFailure, requestId, control = new AbortController(), ...common } = caller;
  const reply = new PartReply(whole);
  const idText = textOf(message.bytes, message.idSpan);
  const { signal } = control;
  try {
    const era = session === undefined ? "plain" : "legacy";
    await runExchange(deps, control, { ...common, requestId, era, session, message, idText, reply, signal });
    return checked(reply.answered);
  } catch (error) {
    if (!WireError.is(error) && !GatewayError.is(error)) onFailure(error, requestId);
    return failureAnswer(error, idText, requestId).body;
  }
}

/**
 * An answer as it may stand between others: alone, a broken one would be its client's own trouble.
 *
 * @throws {GatewayError} `upstream_unreachable` for one that is no JSON
 */
function checked(answer: string | undefined): string | undefined {
  try {
    if (answer !== undefined) JSON.parse(answer);
    return answer;
  } catch (cause) {
    throw new GatewayError("upstream_unreachable", "the upstream's answer is not valid JSON", {
      cause,
      retryable: false,
    });
  }
}

/** The answer to one of several requests: kept until all have theirs. */
class PartReply implements Reply {
  readonly #whole: RpcReply;
  #answered: string | undefined;

  constructor(whole: RpcReply) {
    this.#whole = whole;
  }

  /** The answer, once there is one. */
  get answered(): string | undefined {
    return this.#answered;
  }

  get streamable(): boolean {
    return this.#whole.streamable;
  }

  setHeader(name: string, value: string): void {
    this.#whole.setHeader(name, value);
  }

  message(bytes: Uint8Array): boolean {
    return this.#whole.message(bytes);
  }

  answer(body: Uint8Array | string): void {
    this.#answered = typeof body === "string" ? body : Buffer.from(body).toString("utf8");
  }

  relay(bytes: Buffer, id: Span, idText: string): void {
    this.answer(splice(bytes, [{ ...id, text: idText }]));
  }

  abandon(): void {
    this.#answered = undefined;
  }
}
