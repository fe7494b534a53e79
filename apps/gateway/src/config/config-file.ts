import { readFile } from "node:fs/promises";
import { syntaxFault } from "@gatewright/plugin-framework";
import { ConfigError } from "./config-error.ts";

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a folder, not a file",
  EACCES: "permission denied",
  ENOTDIR: "a part of the path is a file, not a folder",
};

/**
 * Reads a configuration file: JSON when the name ends in `.json`, else YAML (of which JSON is a part). A file
 * whose only keys are a client's (`mcpServers`) is a configuration like any other.
 *
 * @throws {ConfigError} when the file cannot be read, parsed, or is not an object.
 */
export async function readConfigFile(path: string): Promise<Record<string, unknown>> {
  const source = `file ${path}`;
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown";
    const reason = reasons[code] ?? `the system says ${code}`;
    throw new ConfigError([{ path: "", message: `cannot be read: ${reason}`, source }]);
  }
  let value: unknown;
  try {
    value = path.endsWith(".json") ? JSON.parse(text) : await parseYaml(text);
  } catch (cause) {
    throw new ConfigError([{ path: "", message: `cannot be parsed: ${syntaxFault(cause)}`, source }]);
  }
  if (value === null || value === undefined) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new ConfigError([{ path: "", message: "has to be an object at its top level", source }]);
  }
  return value as Record<string, unknown>;
}

// Imported when there is YAML to read: a start without a file does not wait for the parser.
async function parseYaml(text: string): Promise<unknown> {
  const { parse } = await import("yaml");
  return parse(text);
}
