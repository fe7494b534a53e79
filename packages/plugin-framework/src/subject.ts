/** What kind of thing a hook is about, and which field of its payload names it. */
export interface SubjectField {
  readonly kind: "tool" | "prompt" | "resource" | "agent";
  readonly field: string;
}

const FIELDS: Readonly<Record<string, SubjectField>> = {
  tool_pre_invoke: { kind: "tool", field: "name" },
  tool_post_invoke: { kind: "tool", field: "name" },
  prompt_pre_fetch: { kind: "prompt", field: "promptId" },
  prompt_post_fetch: { kind: "prompt", field: "name" },
  resource_pre_fetch: { kind: "resource", field: "uri" },
  resource_post_fetch: { kind: "resource", field: "name" },
  agent_pre_invoke: { kind: "agent", field: "agentId" },
  agent_post_invoke: { kind: "agent", field: "name" },
};

/** The subject of a built-in hook; undefined for `http_*` and custom hooks. */
export function subjectField(hook: string): SubjectField | undefined {
  return Object.hasOwn(FIELDS, hook) ? FIELDS[hook] : undefined;
}

/** The name in a payload's field; undefined when it is not a text. */
export function textField(payload: unknown, field: string): string | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  const value = (payload as Record<string, unknown>)[field];
  return typeof value === "string" ? value : undefined;
}
