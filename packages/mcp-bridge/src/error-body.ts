import type { WireError } from "./errors.ts";

/** One JSON-RPC error answer. */
export interface RpcErrorBody {
  /** Raw JSON text of the request's id, `"null"` when unknown. */
  readonly idText: string;
  readonly code: number;
  readonly message: string;
  /** Serialised as `error.data` when given. */
  readonly data?: unknown;
}

/** The text of a JSON-RPC error answer; `jsonrpc` and `id` are always there. */
export function encodeErrorBody(body: RpcErrorBody): string {
  const data = body.data === undefined ? "" : `,"data":${JSON.stringify(body.data)}`;
  const message = JSON.stringify(body.message);
  return `{"jsonrpc":"2.0","id":${body.idText},"error":{"code":${body.code},"message":${message}${data}}}`;
}

/** The answer to a message that was refused. */
export function encodeWireError(error: WireError): string {
  const { idText, rpcCode, message, details } = error;
  return encodeErrorBody({ idText, code: rpcCode, message, ...(details && { data: details }) });
}

/** The text of a JSON-RPC result answer. Both arguments are raw JSON. */
export function encodeResultBody(idText: string, result: string): string {
  return `{"jsonrpc":"2.0","id":${idText},"result":${result}}`;
}
