import { findSpans } from "../find-spans.ts";
import type { JsonObject } from "../message.ts";
import { textOf } from "../splice.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import { declares, neededCapability } from "./client-capability.ts";
import { membersOf } from "./edit-members.ts";
import { withElicitationId } from "./url-elicitation.ts";

/** Puts one question to a client; all texts are raw JSON. The signal fires when the answer is no longer of use. */
export type AskClient = (
  request: { readonly method: string; readonly params: string | undefined },
  signal: AbortSignal,
) => Promise<string>;

/** One thing that a modern server wants to know of a client. */
export interface InputRequest {
  readonly method: string;
  /** Raw JSON of an object. */
  readonly params: string | undefined;
  /** What the client has to have declared to be asked this. */
  readonly needed: JsonObject;
}

/** What a modern server wants before it goes on. */
export interface InputRequired {
  /** Requests by key; none where the call is just to be made again, with the state. */
  readonly requests: ReadonlyMap<string, InputRequest>;
  /** The server's state, raw, to be sent back unchanged. */
  readonly requestState: string | undefined;
}

/**
 * Reads an `input_required` result; `undefined` for every other answer.
 *
 * @throws UpstreamError `upstream_protocol` for one that carries neither questions nor a state, and for what is no
 *   question to a client: the call made again with that would be the same call
 */
export function inputRequiredOf(answer: UpstreamAnswer): InputRequired | undefined {
  if (answer.kind !== "result" || !answer.bytes.includes('"input_required"')) return undefined;
  if (answer.value()["resultType"] !== "input_required") return undefined;
  const { bytes, httpStatus } = answer;
  const [asked, state] = ["inputRequests", "requestState"].map((name) => {
    const span = findSpans(bytes, { result: { [name]: true } }).at(-1);
    return span && textOf(bytes, span);
  });
  const requests = asked === undefined ? new Map<string, InputRequest>() : readRequests(asked);
  const isWrong = requests === undefined || (state === undefined ? requests.size === 0 : state[0] !== '"');
  if (!isWrong) return { requests, requestState: state };
  throw new UpstreamError("upstream_protocol", "The upstream asked for input by an invalid result.", {
    phase: "response_received",
    httpStatus,
  });
}

/** What of the client is to be asked but was not declared; `undefined` where it can be asked everything. */
export function undeclaredBy(capabilities: JsonObject, { requests }: InputRequired): JsonObject | undefined {
  return [...requests.values()].find(({ needed }) => !declares(capabilities, needed))?.needed;
}

function readRequests(text: string): Map<string, InputRequest> | undefined {
  if (text[0] !== "{") return undefined;
  const requests = new Map<string, InputRequest>();
  for (const [key, entry] of membersOf(Buffer.from(text), { start: 0, end: text.length })) {
    const request = readRequest(entry);
    if (request === undefined) return undefined;
    requests.set(key, request);
  }
  return requests;
}

function readRequest(text: string): InputRequest | undefined {
  if (text[0] !== "{") return undefined;
  const { method, params } = JSON.parse(text) as { readonly method?: unknown; readonly params?: unknown };
  const raw = membersOf(Buffer.from(text), { start: 0, end: text.length }).get("params");
  if (typeof method !== "string" || (raw !== undefined && raw[0] !== "{")) return undefined;
  const needed = neededCapability(method, params as JsonObject | undefined);
  return needed && { method, params: raw, needed };
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
      [...wanted.requests].map(async ([key, { method, params }]) => {
        const asked = method === "elicitation/create" ? withElicitationId(params) : params;
        return `${JSON.stringify(key)}:${await ask({ method, params: asked }, control.signal)}`;
      }),
    );
    return `{${answers.join(",")}}`;
  } catch (error) {
    control.abort(error);
    throw error;
  }
}
