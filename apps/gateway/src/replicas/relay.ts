import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { type Collected, collect, collected } from "@gatewright/mcp-bridge";
import type { Dispatcher } from "undici";

/** What came of handing a request to another replica. */
export type RelayOutcome =
  /** The client was answered, or is gone. */
  | { readonly kind: "answered" }
  /** The other replica is not the one it is for: not executed. */
  | { readonly kind: "misdirected" }
  /** It did not get there, or was refused, for the reason told: not executed. */
  | { readonly kind: "unreachable"; readonly cause: unknown; readonly refused?: string }
  /** It may have been executed; nothing was written to the client. */
  | { readonly kind: "unknown"; readonly cause: unknown };

/** How an answer is relayed. */
export interface RelayOptions {
  readonly response: ServerResponse;
  /** Longest silence of the other replica before its answer begins; it gives signs of life while it works. */
  readonly silenceMs: number;
  /** Longest silence within an event stream; its owner sends comments meanwhile. */
  readonly streamSilenceMs: number;
  /** Last event of a stream that broke: the answer that its call gets instead. */
  readonly brokenStream: string | undefined;
}

/** Longest answer that is held back until it is whole, so that the client gets all of it or an error. */
const maxHeldBytes = 1_048_576;

/** What is wrong between two replicas when one refuses what the other signed. */
const causes: ReadonlyMap<string, string> = new Map([
  ["expired", " (it was held up on its way, or the clocks of the two differ)"],
  ["tampered", " (the secrets of the two differ)"],
]);

const connectionHeaders = new Set(["connection", "keep-alive", "transfer-encoding", "date"]);

/** Takes the answer of another replica and gives it to the client. Settles exactly once. */
export class Relay implements Dispatcher.DispatchHandler {
  readonly outcome: Promise<RelayOutcome>;
  readonly #options: RelayOptions;
  #resolve!: (outcome: RelayOutcome) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #phase: "waiting" | "sent" | "held" | "streaming" | "settled" = "waiting";
  #head: { readonly status: number; readonly headers: IncomingHttpHeaders } | undefined;
  #held: Collected;
  #events = false;
  #silence: NodeJS.Timeout | undefined;
  /** Longest silence of the other replica, as things stand. */
  #silenceMs: number;
  readonly #onClose = () => this.#stop({ kind: "answered" });
  readonly #onDrain = () => {
    this.#listen(this.#silenceMs);
    this.#controller?.resume();
  };

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#silenceMs = options.silenceMs;
    this.outcome = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    options.response.once("close", this.#onClose);
    options.response.on("drain", this.#onDrain);
  }

  /** Gives up because the time of the call is over. */
  expire(): void {
    this.#lost(new Error("the time of the call is over"));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#phase === "settled") {
      controller.abort(stopped);
      return;
    }
    // A client that sends a request again by itself may execute it twice.
    if (this.#phase === "sent") {
      this.#lost(new Error("it was about to be sent again"));
      return;
    }
    this.#phase = "sent";
    // Waiting for a connection has a bound of its own, in the client.
    this.#listen(this.#options.silenceMs);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (this.#phase === "settled") return;
    this.#silence?.refresh();
    // A sign of life.
    if (status < 200) return;
    const reason = headers[refusedHeader]?.toString();
    if (reason !== undefined) {
      const cause = new Error(`the replica refused the request: ${reason}${causes.get(reason) ?? ""}`);
      if (status === 421) this.#stop({ kind: "misdirected" });
      // It has come before, and what came of that is not known here.
      else if (reason === "replayed") this.#stop({ kind: "unknown", cause });
      else this.#stop({ kind: "unreachable", cause, refused: reason });
      return;
    }
    this.#head = { status, headers };
    this.#events = headers["content-type"]?.startsWith("text/event-stream") === true;
    const length = Number(headers["content-length"] ?? Number.POSITIVE_INFINITY);
    if (!this.#events && length <= maxHeldBytes) this.#phase = "held";
    else this.#begin();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#silence?.refresh();
    if (this.#phase === "held") this.#held = collect(this.#held, chunk);
    // Its client may not read on: its token is no longer taken.
    if (this.#options.response.writableEnded) this.#stop({ kind: "answered" });
    if (this.#phase !== "streaming" || this.#options.response.write(chunk)) return;
    // A client that reads slowly holds up the owner, which alone decides when to give it up; its silence is ours.
    controller.pause();
    clearTimeout(this.#silence);
  }

  onResponseEnd(): void {
    if (this.#phase === "settled") return;
    const { response } = this.#options;
    if (this.#phase === "held") this.#begin();
    response.end(this.#held === undefined ? undefined : collected(this.#held));
    this.#settle({ kind: "answered" });
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, cause: Error): void {
    this.#lost(cause);
  }

  #begin(): void {
    const { response } = this.#options;
    const { status, headers } = this.#head ?? { status: 502, headers: {} };
    this.#phase = "streaming";
    const kept = Object.entries(headers).filter(([name]) => !connectionHeaders.has(name));
    response.writeHead(status, Object.fromEntries(kept));
    if (!this.#events) return;
    response.flushHeaders();
    this.#listen(this.#options.streamSilenceMs);
  }

  #listen(silenceMs: number): void {
    this.#silenceMs = silenceMs;
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lost(silent), silenceMs);
  }

  /** The other replica is lost: the client gets what can still be said. */
  #lost(cause: unknown): void {
    if (this.#phase === "settled") return;
    if (this.#phase !== "streaming") {
      this.#stop({ kind: this.#phase === "waiting" ? "unreachable" : "unknown", cause });
      return;
    }
    const { response, brokenStream } = this.#options;
    if (this.#events && !response.writableNeedDrain) response.end(brokenStream);
    else response.destroy();
    this.#stop({ kind: "answered" });
  }

  #stop(outcome: RelayOutcome): void {
    if (this.#phase === "settled") return;
    this.#settle(outcome);
    this.#controller?.abort(stopped);
  }

  #settle(outcome: RelayOutcome): void {
    this.#phase = "settled";
    clearTimeout(this.#silence);
    const { response } = this.#options;
    response.off("close", this.#onClose);
    response.off("drain", this.#onDrain);
    this.#resolve(outcome);
  }
}

/** Response header of a refusal to take a forwarded request. */
export const refusedHeader = "x-gatewright-refused";

const stopped = new Error("The relay was ended.");
const silent = new Error("the replica gives no sign of life");
