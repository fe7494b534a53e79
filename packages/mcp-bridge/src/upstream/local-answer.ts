import { encodeErrorBody, encodeResultBody } from "../error-body.ts";
import { UpstreamAnswer } from "./answer.ts";

/** Where the id of an answer lies that was written here. */
const ID = { start: '{"jsonrpc":"2.0","id":'.length, end: '{"jsonrpc":"2.0","id":0'.length };

/** A result that no upstream sent, under the id 0. `value` is raw JSON. */
export function localResult(value: string): UpstreamAnswer {
  return new UpstreamAnswer("result", Buffer.from(encodeResultBody("0", value)), ID, 200, "json");
}

/** An error that no upstream sent, under the id 0. */
export function localError(
  error: { readonly code: number; readonly message: string; readonly data?: unknown },
  httpStatus: number,
): UpstreamAnswer {
  const { code, message, data } = error;
  const body = encodeErrorBody({ idText: "0", code, message, ...(data !== undefined && { data }) });
  return new UpstreamAnswer("error", Buffer.from(body), ID, httpStatus, "json");
}
