import type { UpstreamAnswer } from "@gatewright/mcp-bridge/upstream";
import type { CallOutcome } from "@gatewright/plugin-framework";

/** An answer that is a JSON-RPC error, thrown so that the request may be repeated; else it goes to the client. */
export class AnsweredError extends Error {
  override readonly name = "AnsweredError";
  readonly answer: UpstreamAnswer;
  readonly outcome: CallOutcome;

  constructor(answer: UpstreamAnswer, outcome: CallOutcome) {
    super("the upstream answered with an error");
    this.answer = answer;
    this.outcome = outcome;
  }
}

/** The answer that was thrown; for `catch`. @throws what else was */
export function answerOf(error: unknown): UpstreamAnswer {
  if (error instanceof AnsweredError) return error.answer;
  throw error;
}
