import type { Duplex } from "node:stream";
import type { FailureAnswer } from "../http/failure-answer.ts";
import { STATUS_CODES } from "../http/node-http.ts";

/** Answers a request to upgrade as plain HTTP, with a JSON-RPC error, and closes the connection. */
export function refuseUpgrade(socket: Duplex, answer: FailureAnswer, challenge: string | undefined): void {
  const { body, status, headers, retryAfter } = answer;
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const all: Record<string, string> = {
    ...headers,
    ...(retryAfter === undefined ? {} : { "retry-after": retryAfter }),
    ...(challenge === undefined ? {} : { "www-authenticate": challenge }),
    connection: "close",
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  socket.once("finish", () => socket.destroy());
  socket.end([`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, "", body].join("\r\n"));
}
