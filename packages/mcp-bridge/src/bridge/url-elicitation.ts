import { randomUUID } from "node:crypto";
import type { JsonObject, RequestMessage } from "../message.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import { withoutMembers } from "./edit-members.ts";
import type { Question } from "./open-questions.ts";
import { questionKey, VISIT_KEY } from "./question-key.ts";

/** JSON-RPC number by which a server of 2025-11-25 refuses a call until its user has been to some URLs. */
export const URL_ELICITATION_REQUIRED = -32042;

/** Member of a URL elicitation that 2025-11-25 requires and stateless revisions do not have. */
const ID_MEMBER = "elicitationId";

/** Whether the params of an elicitation send the user to a URL. */
export function isVisit(params: JsonObject | undefined): boolean {
  return params?.["mode"] === "url";
}

/**
 * The URLs that a refusal of 2025-11-25 names, as questions for a stateless client, which then makes its call again;
 * `undefined` for every other answer, and for a refusal that names none.
 */
export function visitsRequired(
  answer: UpstreamAnswer,
  maxQuestions: number,
): ReadonlyMap<string, Question> | undefined {
  if (answer.kind !== "error" || !answer.bytes.includes(String(URL_ELICITATION_REQUIRED))) return undefined;
  const { code, data } = answer.value() as { readonly code?: unknown; readonly data?: JsonObject | null };
  const listed = data?.["elicitations"];
  if (code !== URL_ELICITATION_REQUIRED || !Array.isArray(listed)) return undefined;
  const questions = new Map<string, Question>();
  for (const entry of listed.slice(0, maxQuestions) as readonly (JsonObject | null)[]) {
    if (typeof entry?.["url"] !== "string") continue;
    const { [ID_MEMBER]: _, ...visit } = entry;
    const params = { ...visit, mode: "url" };
    const key = questionKey("elicitation/create", params, new Set(questions.keys()));
    questions.set(key, { method: "elicitation/create", params: JSON.stringify(params) });
  }
  return questions.size > 0 ? questions : undefined;
}

/** Whether a client says with its call that its user would not go where it was sent. */
export function declinesVisit({ params }: RequestMessage): boolean {
  const responses = params?.["inputResponses"];
  if (typeof responses !== "object" || responses === null) return false;
  return Object.entries(responses as Record<string, JsonObject | null>).some(
    ([key, response]) => key.startsWith(VISIT_KEY) && response?.["action"] !== "accept",
  );
}

/** The params of a URL elicitation as a stateless client gets them: without the id by which its end is told. */
export function withoutElicitationId(params: string): string {
  return String(withoutMembers(params, [ID_MEMBER]));
}

/** The params of a URL elicitation as 2025-11-25 wants them: with an id. Nobody tells of its end under it. */
export function withElicitationId(params: string | undefined): string | undefined {
  const value: unknown = params === undefined ? undefined : JSON.parse(params);
  if (typeof value !== "object" || value === null || !isVisit(value as JsonObject)) return params;
  return Object.hasOwn(value, ID_MEMBER)
    ? params
    : `{"${ID_MEMBER}":"${randomUUID()}",${params?.trimStart().slice(1)}`;
}
