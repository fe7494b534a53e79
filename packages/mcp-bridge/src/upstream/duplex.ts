import { RPC } from "../errors.ts";
import type { Message, SingleMessage } from "../message.ts";
import { textOf } from "../splice.ts";
import { abortError } from "./abort.ts";
import { errorWithoutId, locateAnswer, protocolError, UpstreamAnswer } from "./answer.ts";
import { parseUpstream, restoreProgressToken } from "./http-call.ts";
import type { EncodedRequest } from "./request-body.ts";
import type { CallOptions, UpstreamMessage } from "./upstream.ts";
import { UpstreamError } from "./upstream-error.ts";

interface Pending {
  readonly idText: string;
  readonly progressToken: string | undefined;
  readonly onMessage: CallOptions["onMessage"];
  readonly settle: (outcome: UpstreamAnswer | UpstreamError) => void;
}

/** A connection on which all messages of a peer share one channel. */
export interface DuplexOptions {
  /** Sends one message; may throw or reject with an UpstreamError. */
  readonly send: (body: string | Buffer, signal: AbortSignal | undefined) => void | Promise<void>;
  /** Messages that belong to no call. */
  readonly onMessage: (message: UpstreamMessage) => void;
  /** Input that is no message, and log messages that could be for any of several callers. */
  readonly onStray: (bytes: Buffer) => void;
  /**
   * Whether the calls are of several callers. Then only what names a call goes to it, and only changes go to all: what a
   * server asks or logs for one caller is no other's business. Default false.
   */
  readonly shared?: boolean;
}

/** Notifications that are the same for everybody. */
const forAll = /^notifications\/(?:(?:tools|prompts|resources)\/list_changed|resources\/updated)$/;

/** Many JSON-RPC calls over one shared channel: a child's input and output, or the stream of HTTP+SSE. */
export class Duplex {
  readonly #options: DuplexOptions;
  readonly #pending = new Map<string, Pending>();

  constructor(options: DuplexOptions) {
    this.#options = options;
  }

  /**
   * Sends an encoded request and waits for its answer.
   *
   * @param timeoutMs 0 = none
   * @throws UpstreamError
   */
  call(
    id: number,
    encoded: EncodedRequest,
    timeoutMs: number,
    options: Omit<CallOptions, "timeoutMs">,
  ): Promise<UpstreamAnswer> {
    const { signal, onMessage } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(abortError(signal, "not_sent"));
        return;
      }
      const idText = String(id);
      let timer: NodeJS.Timeout | undefined;
      const settle = (outcome: UpstreamAnswer | UpstreamError) => {
        if (!this.#pending.delete(idText)) return;
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        if (outcome instanceof UpstreamAnswer) resolve(outcome);
        else reject(outcome);
      };
      const onAbort = () => {
        if (signal) settle(abortError(signal, "sent_no_response"));
      };
      this.#pending.set(idText, { idText, progressToken: encoded.progressToken, onMessage, settle });
      signal?.addEventListener("abort", onAbort, { once: true });
      if (timeoutMs > 0) timer = setTimeout(() => settle(timeoutError(timeoutMs)), timeoutMs);
      try {
        const sending = this.#options.send(encoded.body, signal);
        if (sending) sending.catch(settle);
      } catch (error) {
        settle(error as UpstreamError);
      }
    });
  }

  /** Takes one message of the peer. */
  receive(bytes: Buffer): void {
    if (bytes.length === 0) return;
    const located = locateAnswer(bytes);
    if (located) {
      const idText = textOf(bytes, located.idSpan);
      const pending = this.#pending.get(idText);
      if (pending) pending.settle(new UpstreamAnswer(located.kind, bytes, located.idSpan, 200, "stream"));
      else if (idText === "null" && located.kind === "error") this.#refuseBroken(bytes);
      else this.#misnamed(idText);
      return;
    }
    let message: Message;
    try {
      message = parseUpstream(bytes);
    } catch {
      this.#options.onStray(bytes);
      this.#refuseBroken(bytes);
      return;
    }
    if (message.kind === "batch") for (const part of message.messages) this.#message(part);
    else this.#message(message);
  }

  /** Ends all calls in flight with an error. */
  fail(error: UpstreamError): void {
    for (const pending of [...this.#pending.values()]) pending.settle(error);
  }

  #message(message: SingleMessage): void {
    if (message.kind === "response") {
      const { bytes, valueSpan, outcome, idSpan } = message;
      const idText = textOf(bytes, idSpan);
      const text = `{"jsonrpc":"2.0","id":${idText},"${outcome}":${textOf(bytes, valueSpan)}}`;
      this.receive(Buffer.from(text));
      return;
    }
    const owner = this.#ownerOf(message);
    const restored = owner ? restoreProgressToken(message, owner) : message;
    if (restored.kind === "response") return;
    const nobodys = this.#options.shared === true && (owner !== undefined || !forAll.test(restored.method));
    if (owner?.onMessage) owner.onMessage(restored);
    else if (nobodys) this.#toNobody(restored);
    else this.#options.onMessage(restored);
  }

  /** An answer whose id is not the one that was sent, and can be no other's: its call would wait in vain. */
  #misnamed(idText: string): void {
    const id = parsed(idText);
    const pending =
      typeof id === "string" || typeof id === "number" ? this.#pending.get(String(id)) : undefined;
    pending?.settle(protocolError(`The upstream answered the request ${String(id)} under the id ${idText}.`));
  }

  /**
   * Whoever asks waits for an answer, and whoever has asked waits for one: a broken question is refused, a broken answer ends
   * its call, and where it cannot be told whose it is, the only call ends. What is no JSON-RPC, as a log line, is nobody's.
   */
  #refuseBroken(bytes: Buffer): void {
    const value = parsed(bytes.toString("utf8"));
    if (typeof value !== "object" || value === null || !("jsonrpc" in value)) return;
    const { id, method } = value as { readonly id?: unknown; readonly method?: unknown };
    const named = typeof id === "string" || Number.isFinite(id);
    if (typeof method !== "string") {
      const broken = protocolError("The upstream answered with something that is no answer.");
      if (named) this.#pending.get(JSON.stringify(id))?.settle(broken);
      else this.#settleOnly((call) => errorWithoutId(bytes, call.idText, 200) ?? broken);
    } else if (named) {
      const text = "This is no request of JSON-RPC 2.0 as MCP has it.";
      this.#refuse(JSON.stringify(id), RPC.invalidRequest, text);
    } else if (id !== undefined && id !== null) {
      this.#settleOnly(() => protocolError("The upstream asked something under an id that is none."));
    }
  }

  /** Ends the call in flight, if there is exactly one, and of a single caller. */
  #settleOnly(outcome: (call: Pending) => UpstreamAnswer | UpstreamError): void {
    if (this.#options.shared === true || this.#pending.size !== 1) return;
    const [only] = this.#pending.values();
    only?.settle(outcome(only));
  }

  /** A question that could be for any of several callers is refused, a log message told to whoever runs the server. */
  #toNobody(message: UpstreamMessage): void {
    if (message.kind === "notification") {
      if (message.method === "notifications/message") this.#options.onStray(message.bytes);
      return;
    }
    const text = "This connection is shared: nobody can be asked here.";
    this.#refuse(textOf(message.bytes, message.idSpan), RPC.methodNotFound, text);
  }

  #refuse(idText: string, code: number, message: string): void {
    const body = `{"jsonrpc":"2.0","id":${idText},"error":${JSON.stringify({ code, message })}}`;
    const send = async () => this.#options.send(body, undefined);
    send().catch(() => undefined);
  }

  /**
   * The call a message belongs to: by progress token or subscription id. Requests of the server and log messages
   * name no call in legacy revisions; of a single caller they go to the only call in flight, if there is exactly one.
   */
  #ownerOf(message: UpstreamMessage): Pending | undefined {
    const span = message.spans.notifiedToken ?? message.spans.subscriptionId;
    if (span) return this.#pending.get(textOf(message.bytes, span));
    if (message.kind === "notification" && message.method !== "notifications/message") return undefined;
    if (this.#options.shared === true || this.#pending.size !== 1) return undefined;
    const [only] = this.#pending.values();
    return only;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function timeoutError(timeoutMs: number): UpstreamError {
  const text = `The upstream did not answer within ${timeoutMs} ms.`;
  return new UpstreamError("upstream_timeout", text, { phase: "sent_no_response" });
}
