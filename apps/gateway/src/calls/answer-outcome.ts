import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type { CallOutcome } from "@gatewright/plugin-framework";

/** What a result without any mark of failure looks like to plugins that read outcomes alone. */
const unmarked: CallOutcome = Object.freeze({ kind: "result", result: Object.freeze({}) });

/**
 * What an answer was, as the post hooks see it. When no plugin reads bodies, a result is parsed only if its bytes hold
 * a mark of failure, `isError` or `status_code`, wherever that stands; any other is an empty object.
 */
export function outcomeOfAnswer(answer: UpstreamAnswer, needBody: boolean): CallOutcome {
  if (answer.kind === "result") {
    const { bytes } = answer;
    if (!needBody && !bytes.includes("isError") && !bytes.includes("status_code")) return unmarked;
    return { kind: "result", result: answer.value() };
  }
  const value = answer.value();
  const rpcCode = typeof value["code"] === "number" ? value["code"] : undefined;
  return {
    kind: "error",
    code: "rpc_error",
    phase: "response_received",
    ...(rpcCode === undefined ? {} : { rpcCode }),
    ...(answer.httpStatus >= 400 ? { httpStatus: answer.httpStatus } : {}),
    ...(answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs }),
  };
}
