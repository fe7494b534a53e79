import { workerVariable } from "../workers/worker-variable.ts";
import type { ConfigProblem } from "./config-error.ts";
import { nearestKey } from "./nearest-key.ts";
import { keysOf, type SchemaNode, schemaAt } from "./schema-node.ts";

/** Variables with a short name, and the path each one sets. */
const shortNames: Readonly<Record<string, readonly string[]>> = {
  PORT: ["server", "port"],
  HOST: ["server", "host"],
  WORKERS: ["server", "workers"],
  DATA_DIR: ["server", "dataDir"],
  ADVERTISE_URL: ["server", "advertiseUrl"],
  TRUSTED_PROXIES: ["server", "trustedProxies"],
  DATABASE_URL: ["database", "url"],
  REDIS_URL: ["redis", "url"],
  AUTH_REQUIRED: ["auth", "required"],
  LOG_LEVEL: ["observability", "logLevel"],
};

const prefix = "GATEWRIGHT_";
const reserved = new Set([
  "GATEWRIGHT_SECRET",
  "GATEWRIGHT_SECRET_PREVIOUS",
  "GATEWRIGHT_CONFIG",
  "GATEWRIGHT_TOKEN",
  "GATEWRIGHT_URL",
  workerVariable,
]);

/** A value found outside the file. */
export interface Setting {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly source: string;
}

/**
 * Reads the settings of the environment: the short names, and `GATEWRIGHT_<PATH>__<KEY>` for everything
 * else. Words of a key are separated by `_`, steps of the path by `__`; values of lists and objects are JSON
 * (a list of words may be separated by commas).
 */
export function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  schema: SchemaNode,
): { settings: Setting[]; problems: ConfigProblem[] } {
  const settings: Setting[] = [];
  const problems: ConfigProblem[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (text === undefined || text === "") continue;
    const path = shortNames[name] ?? longPath(name, schema, problems);
    if (path === undefined) continue;
    const source = `environment ${name}`;
    settings.push({ path, value: convert(text, schemaAt(schema, path)), source });
  }
  return { settings, problems };
}

function longPath(
  name: string,
  schema: SchemaNode,
  problems: ConfigProblem[],
): readonly string[] | undefined {
  if (!name.startsWith(prefix) || reserved.has(name)) return undefined;
  const path: string[] = [];
  for (const step of name.slice(prefix.length).split("__")) {
    const keys = keysOf(schemaAt(schema, path));
    const key = keys.find((candidate) => squeeze(candidate) === squeeze(step));
    if (key !== undefined) {
      path.push(key);
      continue;
    }
    const near = nearestKey(squeeze(step), keys.map(squeeze));
    const meant = keys.find((candidate) => squeeze(candidate) === near);
    if (meant === undefined && !name.includes("__")) return undefined;
    problems.push({
      path: [...path, step].join("."),
      message: `unknown key${meant === undefined ? "" : `; did you mean "${[...path, meant].join(".")}"?`}`,
      source: `environment ${name}`,
    });
    return undefined;
  }
  return path;
}

function squeeze(key: string): string {
  return key.replaceAll("_", "").toLowerCase();
}

function convert(text: string, node: SchemaNode | undefined): unknown {
  const types = typesOf(node);
  if (types.has("string")) return text;
  if (types.has("boolean")) {
    if (/^(true|1|yes|on)$/i.test(text)) return true;
    if (/^(false|0|no|off)$/i.test(text)) return false;
  }
  try {
    return JSON.parse(text);
  } catch {
    return types.has("array") ? text.split(",").map((word) => word.trim()) : text;
  }
}

function typesOf(node: SchemaNode | undefined): Set<string> {
  const own = node?.type === undefined ? [] : typeof node.type === "string" ? [node.type] : node.type;
  const branches = [...(node?.anyOf ?? []), ...(node?.oneOf ?? [])];
  return new Set([...own, ...branches.flatMap((branch) => [...typesOf(branch)])]);
}
