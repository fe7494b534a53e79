import type { Message, SingleMessage } from "../message.ts";
import { textOf } from "../splice.ts";
import { abortError } from "./abort.ts";
import { locateAnswer, UpstreamAnswer } from "./answer.ts";
import { Child, type ChildEnd, type ChildOptions } from "./child.ts";
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

/** How a {@link StdioConnection} reports to its owner. */
export interface StdioConnectionOptions extends Omit<ChildOptions, "onLine" | "onEnd"> {
  /** Messages that belong to no call. */
  readonly onMessage: (message: UpstreamMessage) => void;
  readonly onEnd: (end: ChildEnd) => void;
}

/** Many JSON-RPC calls over the input and output of one child. */
export class StdioConnection {
  readonly #options: StdioConnectionOptions;
  readonly #child: Child;
  readonly #pending = new Map<string, Pending>();
  #ended: ChildEnd | undefined;

  constructor(options: StdioConnectionOptions) {
    this.#options = options;
    this.#child = new Child({
      ...options,
      onLine: (line) => this.#line(line),
      onEnd: (end) => this.#end(end),
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** How it ended, once it has. */
  get ended(): ChildEnd | undefined {
    return this.#ended;
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
        this.#pending.delete(idText);
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        if (outcome instanceof UpstreamAnswer) resolve(outcome);
        else reject(outcome);
      };
      const onAbort = () => {
        if (signal) settle(abortError(signal, "sent_no_response"));
      };
      try {
        this.send(encoded.body);
      } catch (error) {
        reject(error);
        return;
      }
      this.#pending.set(idText, { idText, progressToken: encoded.progressToken, onMessage, settle });
      signal?.addEventListener("abort", onAbort, { once: true });
      if (timeoutMs > 0) timer = setTimeout(() => settle(timeoutError(timeoutMs)), timeoutMs);
    });
  }

  /** Writes a message that has no answer. @throws UpstreamError */
  send(body: string | Buffer): void {
    if (this.#ended) throw endedError(this.#ended, "not_sent");
    this.#child.send(body);
  }

  /** Ends the child and its group; calls in flight fail. */
  async stop(): Promise<void> {
    const stopping = this.#child.stop();
    this.#fail(new UpstreamError("closed", "The session was closed.", { phase: "sent_no_response" }));
    await stopping;
  }

  #line(line: Buffer): void {
    if (line.length === 0) return;
    const located = locateAnswer(line);
    if (located) {
      const pending = this.#pending.get(textOf(line, located.idSpan));
      pending?.settle(new UpstreamAnswer(located.kind, line, located.idSpan, 200, "stream"));
      return;
    }
    let message: Message;
    try {
      message = parseUpstream(line);
    } catch {
      // Servers print banners on their standard output although they must not.
      this.#options.onStderr?.(line.toString("utf8", 0, this.#options.maxStderrLineBytes));
      return;
    }
    if (message.kind === "batch") for (const part of message.messages) this.#message(part);
    else this.#message(message);
  }

  #message(message: SingleMessage): void {
    if (message.kind === "response") {
      const { bytes, valueSpan, outcome, idSpan } = message;
      const idText = textOf(bytes, idSpan);
      const text = `{"jsonrpc":"2.0","id":${idText},"${outcome}":${textOf(bytes, valueSpan)}}`;
      this.#line(Buffer.from(text));
      return;
    }
    const owner = this.#ownerOf(message);
    const restored = owner ? restoreProgressToken(message, owner) : message;
    if (restored.kind === "response") return;
    if (owner?.onMessage) owner.onMessage(restored);
    else this.#options.onMessage(restored);
  }

  /**
   * The call a message belongs to: by progress token or subscription id. Requests of the server and log messages
   * name no call in legacy revisions; they go to the only call in flight, if there is exactly one.
   */
  #ownerOf(message: UpstreamMessage): Pending | undefined {
    const span = message.spans.notifiedToken ?? message.spans.subscriptionId;
    if (span) return this.#pending.get(textOf(message.bytes, span));
    if (message.kind === "notification" && message.method !== "notifications/message") return undefined;
    if (this.#pending.size !== 1) return undefined;
    const [only] = this.#pending.values();
    return only;
  }

  #end(end: ChildEnd): void {
    this.#ended = end;
    this.#fail(endedError(end, end.notStarted ? "not_sent" : "sent_no_response"));
    this.#options.onEnd(end);
  }

  #fail(error: UpstreamError): void {
    for (const pending of [...this.#pending.values()]) pending.settle(error);
  }
}

function timeoutError(timeoutMs: number): UpstreamError {
  const text = `The upstream did not answer within ${timeoutMs} ms.`;
  return new UpstreamError("upstream_timeout", text, { phase: "sent_no_response" });
}

function endedError(end: ChildEnd, phase: "not_sent" | "sent_no_response"): UpstreamError {
  return new UpstreamError(end.stopped ? "closed" : "upstream_unreachable", end.detail, {
    phase,
    networkCode: end.networkCode,
  });
}
