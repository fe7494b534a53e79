import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ParsedOptions } from "./options.ts";

/** What the server needs to find the statement to cancel. */
export interface CancelTarget {
  /** The name that its certificate is for. */
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly processId: number;
  readonly secretKey: number;
}

const cancelCode = 80_877_102;
const sslCode = 80_877_103;

/**
 * Sends PostgreSQL's CancelRequest on a connection of its own (protocol, section "Canceling Requests in
 * Progress") and resolves when the server has closed it, or after `deadlineMs`; never rejects. As with libpq it is the
 * server that closes: a PgBouncer (1.18) whose client ends the connection first does not pass the request on, or crashes.
 */
export function sendCancelRequest(
  target: CancelTarget,
  ssl: ParsedOptions["ssl"],
  deadlineMs: number,
): Promise<void> {
  return new Promise((resolve) => {
    const raw = connectTcp({ host: target.address, port: target.port });
    const timer = setTimeout(() => raw.destroy(), deadlineMs);
    const request = message([cancelCode, target.processId, target.secretKey]);
    raw.on("error", () => {});
    raw.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    raw.once("connect", () => {
      if (ssl === false) finish(raw, request);
      else secure(raw, target.host, ssl, request);
    });
  });
}

function secure(raw: Socket, host: string, ssl: Exclude<ParsedOptions["ssl"], false>, request: Buffer): void {
  raw.write(message([sslCode]));
  raw.once("data", (answer) => {
    if (answer[0] !== 0x53) {
      raw.destroy();
      return;
    }
    const tls = connectTls({ ...(ssl === true ? {} : ssl), socket: raw, servername: host });
    tls.on("error", () => raw.destroy());
    tls.once("secureConnect", () => finish(tls, request));
  });
}

function finish(socket: Socket, request: Buffer): void {
  socket.write(request);
  socket.resume();
}

function message(words: readonly number[]): Buffer {
  const buffer = Buffer.alloc(4 + words.length * 4);
  buffer.writeInt32BE(buffer.length, 0);
  words.forEach((word, index) => void buffer.writeInt32BE(word, 4 + index * 4));
  return buffer;
}
