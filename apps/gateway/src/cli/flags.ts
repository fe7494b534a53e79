import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Setting } from "../config/environment.ts";

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
export function parseFlags(args: readonly string[], options: ParseArgsConfig["options"] = {}): Parsed {
  try {
    const { values, positionals } = parseArgs({
      args: joinNumbers(args),
      options: { ...commonOptions, ...options },
      allowPositionals: true,
    });
    return { values: values as Parsed["values"], words: positionals };
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause), {
      cause,
    });
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
