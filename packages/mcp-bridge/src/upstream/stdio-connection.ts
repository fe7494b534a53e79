import type { UpstreamAnswer } from "./answer.ts";
import { Child, type ChildEnd, type ChildOptions } from "./child.ts";
import { Duplex } from "./duplex.ts";
import type { EncodedRequest } from "./request-body.ts";
import type { CallOptions, UpstreamMessage } from "./upstream.ts";
import { UpstreamError } from "./upstream-error.ts";

/** How a {@link StdioConnection} reports to its owner. */
export interface StdioConnectionOptions extends Omit<ChildOptions, "onLine" | "onEnd"> {
  /** Whether the calls are of several callers. */
  readonly shared: boolean;
  /** Messages that belong to no call. */
  readonly onMessage: (message: UpstreamMessage) => void;
  readonly onEnd: (end: ChildEnd) => void;
}

/** Many JSON-RPC calls over the input and output of one child. */
export class StdioConnection {
  readonly #options: StdioConnectionOptions;
  readonly #child: Child;
  readonly #duplex: Duplex;
  #ended: ChildEnd | undefined;

  constructor(options: StdioConnectionOptions) {
    this.#options = options;
    this.#duplex = new Duplex({
      send: (body) => this.#write(body),
      onMessage: options.onMessage,
      shared: options.shared,
      // Servers print banners on their standard output although they must not.
      onStray: (line) => options.onStderr?.(line.toString("utf8", 0, options.maxStderrLineBytes)),
    });
    this.#child = new Child({
      ...options,
      onLine: (line) => this.#duplex.receive(line),
      onEnd: (end) => this.#end(end),
    });
  }

  /** How it ended, once it has. */
  get ended(): ChildEnd | undefined {
    return this.#ended;
  }

  /** Sends an encoded request and waits for its answer. @throws UpstreamError */
  call(
    id: number,
    encoded: EncodedRequest,
    timeoutMs: number,
    options: Omit<CallOptions, "timeoutMs">,
  ): Promise<UpstreamAnswer> {
    return this.#duplex.call(id, encoded, timeoutMs, options);
  }

  /** Sends a message that has no answer. @throws UpstreamError */
  async send(body: string | Buffer): Promise<void> {
    this.#write(body);
  }

  /** Ends the child and its group; calls in flight fail. */
  async stop(): Promise<void> {
    const stopping = this.#child.stop();
    this.#duplex.fail(new UpstreamError("closed", "The session was closed.", { phase: "sent_no_response" }));
    await stopping;
  }

  #write(body: string | Buffer): void {
    if (this.#ended) throw endedError(this.#ended, "not_sent");
    this.#child.send(body);
  }

  #end(end: ChildEnd): void {
    this.#ended = end;
    this.#duplex.fail(endedError(end, end.notStarted ? "not_sent" : "sent_no_response"));
    this.#options.onEnd(end);
  }
}

function endedError(end: ChildEnd, phase: "not_sent" | "sent_no_response"): UpstreamError {
  return new UpstreamError(end.stopped ? "closed" : "upstream_unreachable", end.detail, {
    phase,
    networkCode: end.networkCode,
  });
}
