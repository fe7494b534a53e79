import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type { CallOutcome } from "@gatewright/plugin-framework";

/**
 * What an answer was, as the post hooks see it. Answers up to `parseUpTo` bytes are parsed (and longer ones
 * when `needBody`); of longer ones only the marks of a failure are looked for, in their last bytes and their
 * first, where implementations write `isError` and a status.
 */
export function outcomeOfAnswer(answer: UpstreamAnswer, parseUpTo: number, needBody: boolean): CallOutcome {
  if (answer.kind === "result") {
    const small = needBody || answer.bytes.length <= parseUpTo;
    return { kind: "result", result: small ? answer.value() : scan(answer.bytes) };
  }
  const value = answer.value();
  const rpcCode = typeof value["code"] === "number" ? value["code"] : undefined;
  return {
    kind: "error",
    code: "rpc_error",
    phase: "response_received",
    ...(rpcCode === undefined ? {} : { rpcCode }),
    ...(answer.httpStatus >= 400 ? { httpStatus: answer.httpStatus } : {}),
  };
}

function scan(bytes: Buffer): unknown {
  const failed = /"isError"\s*:\s*true/;
  const mark = bytes.includes('"isError"');
  if (!mark || !failed.test(bytes.toString("latin1"))) return {};
  // A mark may lie inside a text; only a parse tells, and it is paid for suspected failures alone.
  const parsed = JSON.parse(bytes.toString("utf8")) as { readonly result?: unknown };
  return parsed.result ?? {};
}
