import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { GatewayError } from "../errors.ts";
import { isMcpPath } from "./broken-request.ts";
import { failureAnswer } from "./failure-answer.ts";

/** How many connections beyond the cap are taken in order to be told so; more are dropped. */
const maxRefused = 1_000;
/** How long a connection that nothing was sent on yet is waited for when the server stops. */
const unusedMs = 100;

/** The open connections of the server. Those beyond the cap are answered by 503, but for probes. */
export class Connections {
  /** For `server.maxConnections`. */
  readonly hardMax: number;
  readonly #max: number;
  readonly #open = new Set<Socket>();
  readonly #over = new Set<Socket>();

  constructor(max: number) {
    this.#max = max;
    this.hardMax = max + maxRefused;
  }

  /** Takes a new one. */
  add(socket: Socket): void {
    const kept = this.#open.size < this.#max ? this.#open : this.#over;
    kept.add(socket);
    socket.once("close", () => kept.delete(socket));
  }

  /** Answers a request on a connection beyond the cap; false when it is to be served. */
  refuse(request: IncomingMessage, response: ServerResponse, requestId: () => string): boolean {
    if (this.#over.size === 0 || !this.#over.has(request.socket)) return false;
    const path = request.url ?? "";
    if (/^\/(health|ready)(?=[/?]|$)/.test(path)) return false;
    const error = new GatewayError("overloaded", "too many connections are open", { retryAfterMs: 1_000 });
    const { body: rpc, status, retryAfter } = failureAnswer(error, "null", requestId());
    const body = isMcpPath(path) ? rpc : restBodyOf(rpc);
    const length = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    response.writeHead(status, { ...length, "retry-after": retryAfter, connection: "close" });
    response.end(body);
    return true;
  }

  /** Ends, a moment later, connections that nothing was ever sent on: the server would wait for them while it stops. */
  endUnused(): void {
    const timer = setTimeout(() => {
      for (const socket of [...this.#open, ...this.#over]) if (socket.bytesRead === 0) socket.destroy();
    }, unusedMs);
    timer.unref();
  }
}

/** The same failure in the form of REST. */
function restBodyOf(rpc: string): string {
  const { error } = JSON.parse(rpc) as {
    readonly error: { readonly message: string; readonly data: object };
  };
  return JSON.stringify({ error: { message: error.message, ...error.data } });
}
