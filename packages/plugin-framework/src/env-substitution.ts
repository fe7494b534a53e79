import { type ConfigIssue, PluginConfigError } from "./errors.ts";
import { nearest } from "./nearest.ts";
import { pathText } from "./parse-strictly.ts";

const REFERENCE = /\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^}\\]|\\.)*))?\}/g;

/** The environment, or a stand-in. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Replaces `${NAME}` and `${NAME:-default}` in every text of a parsed document. Values go in byte for byte, after
 * parsing, so nothing in them can be taken for syntax; a value is not searched again. An empty value counts as
 * unset for the default. `$${NAME}` stays `${NAME}`.
 *
 * @throws PluginConfigError naming the path of every variable that is not set and has no default.
 */
export function substituteEnv<T>(document: T, env: Environment = process.env): T {
  const issues: ConfigIssue[] = [];
  const replaced = replaceIn(document, [], env, issues) as T;
  if (issues.length > 0) throw new PluginConfigError(issues);
  return replaced;
}

function replaceIn(
  value: unknown,
  path: readonly PropertyKey[],
  env: Environment,
  issues: ConfigIssue[],
): unknown {
  if (typeof value === "string") return replaceText(value, path, env, issues);
  if (Array.isArray(value)) return value.map((item, index) => replaceIn(item, [...path, index], env, issues));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [
    key,
    replaceIn(item, [...path, key], env, issues),
  ]);
  return Object.fromEntries(entries);
}

function replaceText(
  text: string,
  path: readonly PropertyKey[],
  env: Environment,
  issues: ConfigIssue[],
): string {
  return text.replace(REFERENCE, (whole: string, name: string, fallback: string | undefined) => {
    if (whole.startsWith("$$")) return whole.slice(1);
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (value !== undefined && (value !== "" || fallback === undefined)) return value;
    if (fallback !== undefined) return fallback.replaceAll("\\}", "}");
    const suggestion = nearest(name, Object.keys(env));
    const message = `the environment has no ${name}`;
    issues.push({ path: pathText(path), message, ...(suggestion === undefined ? {} : { suggestion }) });
    return whole;
  });
}
