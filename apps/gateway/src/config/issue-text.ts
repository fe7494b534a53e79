import type { z } from "zod";

const nouns: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "text",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

/** What is wrong with a value, in words for whoever wrote it. */
export function issueText(issue: z.core.$ZodIssue): string {
  // A schema's own words are better than those made of its rule; the library's begin in one of these ways.
  if (!/^(Invalid|Too|Unrecognized) /.test(issue.message)) return issue.message;
  switch (issue.code) {
    case "invalid_type":
      return `has to be ${nouns[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `has to be ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}`;
    case "too_small":
      return `has to ${sized(issue.origin, issue.minimum, "at least")}`;
    case "too_big":
      return `has to ${sized(issue.origin, issue.maximum, "at most")}`;
    case "unrecognized_keys":
      return `unknown ${issue.keys.length === 1 ? "key" : "keys"}: ${issue.keys.join(", ")}`;
    case "invalid_key": {
      // What is wrong with the key is said by the schema of keys.
      const [inner] = issue.issues;
      return inner === undefined ? issue.message : issueText(inner);
    }
    case "invalid_format":
      return issue.format === "url" ? "has to be a URL of an allowed kind" : issue.message;
    default:
      return issue.message;
  }
}

function sized(origin: string, bound: number | bigint, word: string): string {
  if (origin === "string") return `have ${word} ${bound} characters`;
  if (origin === "array" || origin === "set") return `have ${word} ${bound} entries`;
  return `be ${word} ${bound}`;
}
