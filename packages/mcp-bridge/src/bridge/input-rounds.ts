import { findSpans } from "../find-spans.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import { membersOf } from "./edit-members.ts";
import { withElicitationId } from "./url-elicitation.ts";

/** Puts one question to a client; all texts are raw JSON. The signal fires when the answer is no longer of use. */
export type AskClient = (
  request: { readonly method: string; readonly params: string | undefined },
  signal: AbortSignal,
) => Promise<string>;

/** What a modern server wants before it goes on. */
export interface InputRequired {
  /** Requests by key, raw. */
  readonly requests: ReadonlyMap<string, string>;
  /** The server's state, raw, to be sent back unchanged. */
  readonly requestState: string | undefined;
}

/** Reads an `input_required` result; `undefined` for every other answer. */
export function inputRequiredOf(answer: UpstreamAnswer): InputRequired | undefined {
  if (answer.kind !== "result" || !answer.bytes.includes('"input_required"')) return undefined;
  if (answer.value()["resultType"] !== "input_required") return undefined;
  const { bytes } = answer;
  const [requests] = findSpans(bytes, { result: { inputRequests: true } });
  const [state] = findSpans(bytes, { result: { requestState: true } });
  return {
    requests: requests ? membersOf(bytes, requests) : new Map(),
    requestState: state && bytes.toString("utf8", state.start, state.end),
  };
}

/**
 * Puts all questions to the client at once and returns the answers as raw JSON of `inputResponses`; `undefined`
 * when nothing was asked. Rejects with the first question that was not answered, and takes the others back.
 */
export async function answerInputRequests(
  wanted: InputRequired,
  ask: AskClient,
): Promise<string | undefined> {
  if (wanted.requests.size === 0) return undefined;
  const control = new AbortController();
  try {
    const answers = await Promise.all(
      [...wanted.requests].map(async ([key, text]) => {
        const bytes = Buffer.from(text);
        const { method } = JSON.parse(text) as { method?: unknown };
        const params = membersOf(bytes, { start: 0, end: bytes.length }).get("params");
        const asked = method === "elicitation/create" ? withElicitationId(params) : params;
        return `${JSON.stringify(key)}:${await ask({ method: String(method), params: asked }, control.signal)}`;
      }),
    );
    return `{${answers.join(",")}}`;
  } catch (error) {
    control.abort(error);
    throw error;
  }
}
