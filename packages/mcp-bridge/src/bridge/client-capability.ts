import type { JsonObject } from "../message.ts";

/**
 * What a client has to declare to be asked something, as it would declare it; `undefined` for what no client can be
 * asked.
 */
export function neededCapability(method: string, params: JsonObject | undefined): JsonObject | undefined {
  switch (method) {
    case "elicitation/create":
      return { elicitation: params?.["mode"] === "url" ? { url: {} } : {} };
    case "sampling/createMessage":
      return { sampling: params?.["tools"] === undefined ? {} : { tools: {} } };
    case "roots/list":
      return { roots: {} };
    default:
      return undefined;
  }
}

/** Whether a client's capabilities have what is needed. An elicitation that names no mode is one of forms. */
export function declares(capabilities: JsonObject, needed: JsonObject): boolean {
  return Object.entries(needed).every(([name, wanted]) => {
    const declared = capabilities[name];
    if (!isObject(declared)) return false;
    const parts = Object.keys(wanted as JsonObject);
    if (name === "elicitation" && parts.length === 0) {
      return declared["form"] !== undefined || declared["url"] === undefined;
    }
    return parts.every((part) => declared[part] !== undefined);
  });
}

/** A capability in words: `elicitation.url`. */
export function capabilityName(needed: JsonObject): string {
  return Object.entries(needed)
    .map(([name, parts]) => [name, ...Object.keys(parts as JsonObject)].join("."))
    .join(", ");
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null;
}
