import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Setting } from "../config/environment.ts";
import { nearestKey } from "../config/nearest-key.ts";

/** A mistake on the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The flags that set something, and what they set. */
const settings: Readonly<
  Record<string, { readonly path: readonly string[]; readonly kind: "text" | "number" }>
> = {
  port: { path: ["server", "port"], kind: "number" },
  host: { path: ["server", "host"], kind: "text" },
  "data-dir": { path: ["server", "dataDir"], kind: "text" },
  "log-level": { path: ["observability", "logLevel"], kind: "text" },
};

/** What every command takes. */
export const commonOptions = {
  config: { type: "string" },
  port: { type: "string" },
  host: { type: "string" },
  "data-dir": { type: "string" },
  "log-level": { type: "string" },
  help: { type: "boolean", short: "h" },
} as const satisfies ParseArgsConfig["options"];

/** Parsed flags and words. */
export interface Parsed {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly words: readonly string[];
}

/** Parses a command's arguments; unknown flags are a {@link UsageError}. */
export function parseFlags(args: readonly string[], more: ParseArgsConfig["options"] = {}): Parsed {
  const options = { ...commonOptions, ...more };
  const given = { args: joinNumbers(args), options, allowPositionals: true };
  refuseUnknown(given);
  try {
    const { values, positionals } = parseArgs(given);
    return { values: values as Parsed["values"], words: positionals };
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause), {
      cause,
    });
  }
}

function refuseUnknown(given: ParseArgsConfig & { readonly options: object }): void {
  const known = Object.keys(given.options);
  const { tokens } = parseArgs({ ...given, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind !== "option" || known.includes(token.name)) continue;
    const near = nearestKey(token.name, known);
    const hint = near === undefined ? "" : `; did you mean "--${near}"?`;
    throw new UsageError(`unknown option ${token.rawName}${hint}`);
  }
}

/** A number below zero is a value, and the command says what it thinks of it; alone it would look like a flag. */
function joinNumbers(args: readonly string[]): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const before = joined.at(-1);
    if (/^-\d/.test(arg) && before?.startsWith("--") && !before.includes("=")) {
      joined[joined.length - 1] = `${before}=${arg}`;
    } else joined.push(arg);
  }
  return joined;
}

/** The configuration that flags stand for. */
export function settingsOf(values: Parsed["values"]): Setting[] {
  return Object.entries(settings).flatMap(([flag, { path, kind }]) => {
    const value = values[flag];
    if (typeof value !== "string") return [];
    const number = Number(value);
    return [
      { path, value: kind === "number" && !Number.isNaN(number) ? number : value, source: `flag --${flag}` },
    ];
  });
}
