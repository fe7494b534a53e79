import { z } from "zod";
import { compileGlob } from "./glob.ts";
import type { RequestContext } from "./plugin-context.ts";
import { type SubjectField, subjectField, textField } from "./subject.ts";
import { wellFormed } from "./well-formed.ts";

/** A glob, checked when the configuration is loaded. */
export const globSchema = wellFormed.superRefine((pattern, context) => {
  try {
    compileGlob(pattern);
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
  }
});

const globs = z.array(globSchema).min(1).max(1000);

/** One condition: every field that is given must match (AND); a field matches when one of its globs does. */
export const conditionSchema = z.strictObject({
  serverIds: globs.optional(),
  tenantIds: globs.optional(),
  tools: globs.optional(),
  prompts: globs.optional(),
  resources: globs.optional(),
  agents: globs.optional(),
  userPatterns: globs.optional(),
  contentTypes: globs.optional(),
});

/** Limits a plugin to some calls; a list of them matches when one entry does (OR). */
export type Condition = z.infer<typeof conditionSchema>;

type Match = (context: RequestContext, payload: unknown) => boolean;
type Read = (context: RequestContext, payload: unknown) => string | undefined;

/** A principal's name: email, else id, else sub, else the text itself. */
export function userName(user: unknown): string | undefined {
  if (typeof user === "string") return user;
  return textField(user, "email") ?? textField(user, "id") ?? textField(user, "sub");
}

function contentType(_: RequestContext, payload: unknown): string | undefined {
  const of = payload as { responseHeaders?: unknown; headers?: unknown } | null;
  const header = textField(of?.responseHeaders, "content-type") ?? textField(of?.headers, "content-type");
  return header?.split(";", 1)[0]?.trim().toLowerCase();
}

function readers(subject: SubjectField | undefined): Record<keyof Condition, Read> {
  const named =
    (kind: SubjectField["kind"]): Read =>
    (_, payload) =>
      subject?.kind === kind ? textField(payload, subject.field) : undefined;
  return {
    serverIds: (context) => context.serverId,
    tenantIds: (context) => context.tenantId,
    tools: named("tool"),
    prompts: named("prompt"),
    resources: named("resource"),
    agents: named("agent"),
    userPatterns: (context) => userName(context.user),
    contentTypes: contentType,
  };
}

function compileOne(condition: Condition, read: Record<keyof Condition, Read>): Match {
  const fields = (Object.keys(read) as (keyof Condition)[]).flatMap((key) => {
    const patterns = condition[key]?.map(compileGlob);
    return patterns === undefined ? [] : [{ read: read[key], patterns }];
  });
  return (context, payload) =>
    fields.every((field) => {
      const text = field.read(context, payload);
      return text !== undefined && field.patterns.some((matches) => matches(text));
    });
}

/**
 * Compiles a plugin's conditions for one hook, once. A field that the hook does not have (`tools` at a prompt
 * hook) does not match. Undefined: no conditions, always runs.
 */
export function compileConditions(
  conditions: readonly Condition[] | undefined,
  hook: string,
): Match | undefined {
  if (conditions === undefined || conditions.length === 0) return undefined;
  const read = readers(subjectField(hook));
  const entries = conditions.map((condition) => compileOne(condition, read));
  return (context, payload) => entries.some((matches) => matches(context, payload));
}
