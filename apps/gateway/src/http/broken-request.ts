import type { Socket } from "node:net";
import { encodeErrorBody, RPC } from "@gatewright/mcp-bridge";
import { STATUS_CODES } from "./node-http.ts";

/** A request that no route can be asked to answer. */
export interface BrokenRequest {
  /** Its path, where it could be read. */
  readonly path: string | undefined;
  readonly status: number;
  readonly code: "validation_failed" | "payload_too_large" | "not_found";
  readonly message: string;
  readonly retryable: boolean;
  readonly requestId: string;
}

/** Whether a path belongs to MCP, whatever is wrong with the rest of it. */
export function isMcpPath(path: string): boolean {
  return /^(\/servers\/[^/?]*)?\/(mcp|ws|sse|messages)(?=[/?]|$)/.test(path);
}

/** The body that says so: JSON-RPC where the path is one of MCP or unknown, else the form of REST. */
export function brokenRequestBody(broken: BrokenRequest): string {
  const { path, code, message, retryable, requestId } = broken;
  if (path !== undefined && !isMcpPath(path)) {
    return JSON.stringify({ error: { code, message, retryable, requestId } });
  }
  const rpcCode = code === "not_found" ? RPC.invalidParams : RPC.invalidRequest;
  return encodeErrorBody({ idText: "null", code: rpcCode, message, data: { code, retryable, requestId } });
}

/**
 * Answers what Node's HTTP parser refused (headers too long or too slow, no HTTP at all), and closes the connection.
 */
export function answerClientError(
  error: { readonly code?: string | undefined; readonly rawPacket?: unknown },
  socket: Socket,
  requestId: string,
): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const line = Buffer.isBuffer(error.rawPacket) ? error.rawPacket.toString("latin1", 0, 2_048) : undefined;
  const path = /^[A-Z]+ (\/[^ ]*) HTTP\//.exec(line ?? "")?.[1];
  const broken = { path, requestId, ...meaningOf(error.code) };
  const body = brokenRequestBody(broken);
  socket.end(
    [
      `HTTP/1.1 ${broken.status} ${STATUS_CODES[broken.status]}`,
      "connection: close",
      "content-type: application/json",
      `content-length: ${Buffer.byteLength(body)}`,
      "",
      body,
    ].join("\r\n"),
  );
}

function meaningOf(
  code: string | undefined,
): Pick<BrokenRequest, "status" | "code" | "message" | "retryable"> {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return {
        status: 431,
        code: "payload_too_large",
        message: "the request headers are too long",
        retryable: false,
      };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return {
        status: 408,
        code: "validation_failed",
        message: "the request came too slowly",
        retryable: true,
      };
    default:
      return { status: 400, code: "validation_failed", message: "this is no valid HTTP", retryable: false };
  }
}
