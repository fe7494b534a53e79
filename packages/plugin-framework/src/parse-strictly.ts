import { type ZodType, z } from "zod";
import { type ConfigIssue, PluginConfigError } from "./errors.ts";
import { nearest } from "./nearest.ts";

type Issue = z.core.$ZodIssue;
interface SchemaNode {
  readonly properties?: Record<string, SchemaNode>;
  readonly items?: SchemaNode;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
}

/** `["plugins", 1, "mode"]` → `plugins[1].mode` */
export function pathText(path: readonly PropertyKey[], prefix = ""): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? String(key) : `${text}.${String(key)}`;
  }, prefix);
}

function keysAt(nodes: readonly SchemaNode[], path: readonly PropertyKey[]): string[] {
  const [key, ...rest] = path;
  const flat = nodes.flatMap((node) => [node, ...(node.anyOf ?? []), ...(node.oneOf ?? [])]);
  if (key === undefined) return flat.flatMap((node) => Object.keys(node.properties ?? {}));
  const next = flat.flatMap((node) => {
    const extra = typeof node.additionalProperties === "object" ? node.additionalProperties : undefined;
    const child = typeof key === "number" ? node.items : (node.properties?.[String(key)] ?? extra);
    return child === undefined ? [] : [child];
  });
  return next.length === 0 ? [] : keysAt(next, rest);
}

function knownKeys(schema: ZodType, path: readonly PropertyKey[]): string[] {
  try {
    return keysAt([z.toJSONSchema(schema, { unrepresentable: "any", io: "input" }) as SchemaNode], path);
  } catch {
    return [];
  }
}

function explain(schema: ZodType, issue: Issue, input: unknown, prefix: string): ConfigIssue[] {
  if (issue.code === "unrecognized_keys") {
    const known = knownKeys(schema, issue.path);
    return issue.keys.map((key) => {
      const suggestion = nearest(key, known);
      const path = pathText([...issue.path, key], prefix);
      return { path, message: "unknown key", ...(suggestion === undefined ? {} : { suggestion }) };
    });
  }
  const path = pathText(issue.path, prefix);
  if (issue.code === "invalid_value") {
    const given = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)?.[key], input);
    const suggestion = typeof given === "string" ? nearest(given, issue.values.map(String)) : undefined;
    const message = `must be one of ${issue.values.map(String).join(", ")}, not ${JSON.stringify(given)}`;
    return [{ path, message, ...(suggestion === undefined ? {} : { suggestion }) }];
  }
  return [{ path, message: issue.message }];
}

/**
 * Parses `input`, or throws a {@link PluginConfigError} that names the path of everything wrong and the nearest
 * right key or value.
 */
export function parseStrictly<T>(schema: ZodType<T>, input: unknown, prefix = ""): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new PluginConfigError(parsed.error.issues.flatMap((issue) => explain(schema, issue, input, prefix)));
}
