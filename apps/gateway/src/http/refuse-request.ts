import type { IncomingMessage, ServerResponse } from "node:http";
import { unexpectedFailure } from "../calls/unexpected-failure.ts";
import { GatewayError } from "../errors.ts";
import { isMcpPath } from "./broken-request.ts";
import { failureAnswer } from "./failure-answer.ts";

/** Answers a request that was refused before anything was done about it, in the form of its surface. */
export function refuseRequest(
  error: unknown,
  requestId: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const answer = failureAnswer(error, "null", requestId);
  for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
  if (answer.retryAfter !== undefined) response.setHeader("retry-after", answer.retryAfter);
  response.setHeader("content-type", "application/json");
  if (isMcpPath(request.url ?? "")) {
    response.writeHead(answer.status).end(answer.body);
    return;
  }
  const failure = GatewayError.is(error) ? error : unexpectedFailure(error);
  const { httpStatus, retryable } = failure.surface;
  const { details, publicCode } = failure.facts;
  const { message } = failure;
  const body = {
    code: publicCode ?? failure.code,
    message,
    retryable,
    requestId,
    ...(details && { details }),
  };
  response.writeHead(httpStatus).end(JSON.stringify({ error: body }));
}
