import { isIP } from "node:net";
import type { z } from "zod";
import { acceptClientFile } from "./client-file.ts";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { readConfigFile } from "./config-file.ts";
import { usesPostgres } from "./db-resilience.ts";
import { readEnvironment, type Setting } from "./environment.ts";
import { configSchemaNode, type GatewayConfig, gatewayConfig } from "./gateway-config.ts";
import { issueText } from "./issue-text.ts";
import { nearestKey } from "./nearest-key.ts";
import { retryPolicyProblems } from "./retry-backoff.ts";
import { keysOf, type SchemaNode, schemaAt } from "./schema-node.ts";

/** Where the configuration comes from, the stronger source first: flags, environment, file, defaults. */
export interface ConfigSources {
  /** Settings from the command line. */
  readonly flags?: readonly Setting[];
  /** Environment variables. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of a YAML or JSON file. */
  readonly file?: string;
  /** Told in a sentence of each key of a client's `mcpServers` file that is left out. */
  readonly onWarning?: (text: string) => void;
}

/**
 * Loads and checks the configuration.
 *
 * @throws {ConfigError} naming every wrong key with its path, its source and the nearest right key.
 */
export async function loadConfig(sources: ConfigSources): Promise<GatewayConfig> {
  const schema = configSchemaNode();
  const raw = sources.file === undefined ? {} : await readFileOf(sources, sources.file);
  const { settings, problems } = readEnvironment(sources.env ?? {}, schema);
  const origins = new Map<string, string>();
  for (const setting of [...settings, ...(sources.flags ?? [])]) {
    assign(raw, setting.path, setting.value);
    origins.set(setting.path.join("."), setting.source);
  }
  const parsed = gatewayConfig.safeParse(raw);
  const fallback = sources.file === undefined ? undefined : `file ${sources.file}`;
  if (!parsed.success) problems.push(...describeIssues(parsed.error, schema, origins, fallback));
  if (parsed.success && problems.length === 0) problems.push(...crossCheck(parsed.data, origins));
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems);
  return parsed.data;
}

async function readFileOf({ onWarning }: ConfigSources, file: string): Promise<Record<string, unknown>> {
  return acceptClientFile(await readConfigFile(file), (path) =>
    onWarning?.(`${path}: not known here, left out (file ${file})`),
  );
}

/** Whether `host` only reaches this machine. */
export function isLoopbackHost(host: string): boolean {
  if (host === "localhost") return true;
  return isIP(host) === 4 ? host.startsWith("127.") : host === "::1" || host === "[::1]";
}

function assign(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let node = target;
  for (const step of path.slice(0, -1)) {
    const next = node[step];
    if (typeof next === "object" && next !== null && !Array.isArray(next)) {
      node = next as Record<string, unknown>;
    } else {
      const made: Record<string, unknown> = {};
      node[step] = made;
      node = made;
    }
  }
  const last = path.at(-1);
  if (last !== undefined) node[last] = value;
}

function describeIssues(
  error: z.ZodError,
  schema: SchemaNode,
  origins: ReadonlyMap<string, string>,
  fallback: string | undefined,
): ConfigProblem[] {
  return error.issues.flatMap((issue) => {
    const place = issue.path.map(String).join(".");
    const source = origins.get(place) ?? fallback;
    const from = source === undefined ? {} : { source };
    if (issue.code !== "unrecognized_keys") return [{ path: place, message: issueText(issue), ...from }];
    const known = keysOf(schemaAt(schema, issue.path));
    return issue.keys.map((key) => {
      const near = nearestKey(key, known);
      const hint = near === undefined ? `; known keys: ${known.join(", ")}` : `; did you mean "${near}"?`;
      return { path: place === "" ? key : `${place}.${key}`, message: `unknown key${hint}`, ...from };
    });
  });
}

function crossCheck(config: GatewayConfig, origins: ReadonlyMap<string, string>): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const refuse = (path: string, message: string) => {
    const source = origins.get(path);
    problems.push({ path, message, ...(source === undefined ? {} : { source }) });
  };
  if (!config.auth.required && !isLoopbackHost(config.server.host)) {
    refuse("auth.required", `may be false only on a loopback address, not on ${config.server.host}`);
  }
  if (config.server.workers > 1 && !usesPostgres(config.database)) {
    refuse("server.workers", "more than one worker needs a PostgreSQL registry, and this one is SQLite");
  }
  if (config.database.pool.min > config.database.pool.size) {
    refuse("database.pool.min", "is larger than database.pool.size");
  }
  for (const { path, message } of retryPolicyProblems(config.plugins)) refuse(path, message);
  for (const name of repeated(config.plugins.map((plugin) => plugin.name))) {
    refuse("plugins", `"${name}" is named twice`);
  }
  return problems;
}

function repeated(names: readonly string[]): Set<string> {
  return new Set(names.filter((name, index) => names.indexOf(name) !== index));
}
