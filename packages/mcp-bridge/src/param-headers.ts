import { decodeHeaderValue, encodeHeaderValue, headerOf, type IncomingHeaders } from "./headers.ts";
import type { JsonObject } from "./message.ts";

/** One argument of a tool that is mirrored into a header. */
export interface ParamHeader {
  /** Header name in lower case: `mcp-param-…`. */
  readonly header: string;
  /** Names of the properties that lead to the argument. */
  readonly path: readonly string[];
}

/** The mirrored arguments of a tool, or why its definition is not valid. */
export type ParamHeaderRules =
  | { readonly valid: true; readonly headers: readonly ParamHeader[] }
  | { readonly valid: false; readonly problem: string };

const ANNOTATION = "x-mcp-header";
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PRIMITIVE: ReadonlySet<unknown> = new Set(["string", "integer", "boolean"]);
/** Keywords whose values are data, not schemas. */
const DATA: ReadonlySet<string> = new Set(["default", "const", "enum", "examples", "example"]);
/** Deepest schema that is looked through. */
const MAX_DEPTH = 128;

/**
 * Reads the `x-mcp-header` annotations of a tool's `inputSchema` (2026-07-28, "Custom Headers from Tool Parameters"):
 * tokens, unique without regard to case, on string, integer or boolean properties that are reached by `properties`
 * alone. A tool that breaks a rule must not be offered over HTTP.
 */
export function readParamHeaders(inputSchema: unknown): ParamHeaderRules {
  const headers: ParamHeader[] = [];
  try {
    walk(inputSchema, [], true, headers, 0);
  } catch (error) {
    if (error instanceof Problem) return { valid: false, problem: error.message };
    throw error;
  }
  return { valid: true, headers };
}

class Problem extends Error {}

function walk(
  node: unknown,
  path: readonly string[],
  reachable: boolean,
  headers: ParamHeader[],
  depth: number,
): void {
  if (typeof node !== "object" || node === null) return;
  if (depth > MAX_DEPTH) throw new Problem(`the schema nests deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(node)) {
    for (const element of node) walk(element, path, false, headers, depth + 1);
    return;
  }
  const schema = node as JsonObject;
  if (Object.hasOwn(schema, ANNOTATION)) headers.push(annotated(schema, path, reachable, headers));
  for (const [keyword, value] of Object.entries(schema)) {
    if (DATA.has(keyword)) continue;
    if (keyword !== "properties") walk(value, path, false, headers, depth + 1);
    else if (typeof value === "object" && value !== null) {
      for (const [name, child] of Object.entries(value))
        walk(child, [...path, name], reachable, headers, depth + 1);
    }
  }
}

function annotated(
  schema: JsonObject,
  path: readonly string[],
  reachable: boolean,
  known: readonly ParamHeader[],
): ParamHeader {
  const name = schema[ANNOTATION];
  const where = path.join(".") || "the root";
  if (!reachable || path.length === 0)
    throw new Problem(`${ANNOTATION} at ${where} is not on a plain property`);
  if (typeof name !== "string" || !TOKEN.test(name))
    throw new Problem(`${ANNOTATION} at ${where} is no header token`);
  const types = [schema["type"]].flat().filter((type) => type !== "null");
  if (types.length !== 1 || !PRIMITIVE.has(types[0])) {
    throw new Problem(`${ANNOTATION} at ${where} needs the type string, integer or boolean`);
  }
  const header = `mcp-param-${name.toLowerCase()}`;
  if (known.some((other) => other.header === header))
    throw new Problem(`${ANNOTATION} '${name}' is used twice`);
  return { header, path };
}

/** The headers of a call, values encoded; an argument that is absent, null or no primitive has none. */
export function encodeParamHeaders(rules: readonly ParamHeader[], args: unknown): { [name: string]: string } {
  const headers: { [name: string]: string } = {};
  for (const { header, path } of rules) {
    const text = textAt(args, path);
    if (text !== undefined) headers[header] = encodeHeaderValue(text);
  }
  return headers;
}

/**
 * Compares the mirrored headers of a request with its arguments: each present, decodable and equal; integers are
 * compared as numbers.
 *
 * @returns what is wrong, or nothing
 */
export function checkParamHeaders(
  headers: IncomingHeaders,
  rules: readonly ParamHeader[],
  args: unknown,
): string | undefined {
  for (const { header, path } of rules) {
    const expected = textAt(args, path);
    if (expected === undefined) continue;
    const raw = headerOf(headers, header);
    if (raw === undefined) return `the header ${header} is missing`;
    const decoded = decodeHeaderValue(raw);
    if (decoded === undefined) return `the header ${header} is not valid base64`;
    const sameNumber = typeof valueAt(args, path) === "number" && Number(decoded) === Number(expected);
    if (decoded !== expected && !(sameNumber && decoded !== "")) {
      return `${header} '${decoded}' does not match the argument ${path.join(".")}`;
    }
  }
  return undefined;
}

function valueAt(args: unknown, path: readonly string[]): unknown {
  let value = args;
  for (const name of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as JsonObject)[name];
  }
  return value;
}

function textAt(args: unknown, path: readonly string[]): string | undefined {
  const value = valueAt(args, path);
  if (typeof value === "string") return value;
  if (typeof value === "boolean" || Number.isSafeInteger(value)) return String(value);
  return undefined;
}
