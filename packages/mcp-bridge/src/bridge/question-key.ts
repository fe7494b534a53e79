import type { JsonObject } from "../message.ts";

/** How keys begin by which a user is sent to a URL. */
export const VISIT_KEY = "user_visit";

/** Longest part of a key that comes from a property. */
const MAX_PROPERTY = 40;

/**
 * A key for a question, saying who is asked for what: `user_<property>` for a form with one property, `user_input`
 * for any other, `user_visit` where the user is sent to a URL, `model_message`, `client_roots`. A number is appended where the key is taken.
 *
 * @param taken keys of the call so far; a key is never used for two questions of one call
 */
export function questionKey(
  method: string,
  params: JsonObject | undefined,
  taken: ReadonlySet<string>,
): string {
  const plain = plainKey(method, params);
  let key = plain;
  for (let count = 2; taken.has(key); count++) key = `${plain}_${count}`;
  return key;
}

function plainKey(method: string, params: JsonObject | undefined): string {
  switch (method) {
    case "elicitation/create":
      return params?.["mode"] === "url" ? VISIT_KEY : `user_${onlyProperty(params) ?? "input"}`;
    case "sampling/createMessage":
      return "model_message";
    case "roots/list":
      return "client_roots";
    default:
      return "input";
  }
}

function onlyProperty(params: JsonObject | undefined): string | undefined {
  const { properties } = (params?.["requestedSchema"] ?? {}) as { properties?: unknown };
  if (typeof properties !== "object" || properties === null) return undefined;
  const [name, second] = Object.keys(properties);
  if (name === undefined || second !== undefined) return undefined;
  return name.replaceAll(/[^A-Za-z0-9_]/g, "_").slice(0, MAX_PROPERTY) || undefined;
}
