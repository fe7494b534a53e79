import type { ParseArgsConfig } from "node:util";
import { type Parsed, UsageError } from "../cli/flags.ts";
import { splitCommand } from "./split-command.ts";

/** The flags of `gatewright translate`, beside those of every command. */
export const translateFlags = {
  stdio: { type: "string" },
  connect: { type: "string" },
  "connect-streamable-http": { type: "string" },
  "connect-sse": { type: "string" },
  header: { type: "string", multiple: true },
  env: { type: "string", multiple: true },
  cwd: { type: "string" },
  child: { type: "string" },
  "expose-streamable-http": { type: "boolean" },
  "expose-sse": { type: "boolean" },
  "expose-websocket": { type: "boolean" },
  "header-to-env": { type: "string", multiple: true },
  cors: { type: "string", multiple: true },
} as const satisfies ParseArgsConfig["options"];

/** The server that is translated. */
export type TranslateSource =
  | {
      readonly kind: "program";
      readonly command: string;
      readonly args: readonly string[];
      readonly env: Readonly<Record<string, string>>;
      readonly cwd: string | undefined;
      /** A process for each session, or one for all. */
      readonly child: "session" | "shared";
    }
  | {
      readonly kind: "remote";
      readonly url: string;
      /** Found out when it is missing. */
      readonly transport: "sse" | "streamable-http" | undefined;
      readonly headers: Readonly<Record<string, string>>;
    };

/** Over which transports it is served. */
export interface Exposed {
  readonly streamableHttp: boolean;
  readonly sse: boolean;
  readonly websocket: boolean;
}

/** What `gatewright translate` is asked to do. */
export interface TranslateOptions {
  readonly source: TranslateSource;
  /** Where it is served: over HTTP, or on standard input and output when undefined. */
  readonly expose: Exposed | undefined;
  /** Environment variables that are set from request headers (in lower case), by header. */
  readonly headerEnv: ReadonlyMap<string, string>;
  /** Browser origins that may call. */
  readonly cors: readonly string[];
}

/**
 * Reads the flags.
 *
 * @throws {UsageError} in one sentence
 */
export function readTranslateOptions(
  { values, words }: Parsed,
  env: Readonly<Record<string, string | undefined>>,
): TranslateOptions {
  const [stray] = words;
  if (stray !== undefined)
    throw new UsageError(`"${stray}" is no flag; quote the whole command after --stdio`);
  const source = sourceOf(values, env);
  const chosen = {
    streamableHttp: values["expose-streamable-http"] === true,
    sse: values["expose-sse"] === true,
    websocket: values["expose-websocket"] === true,
  };
  const any = Object.values(chosen).includes(true);
  const overHttp = source.kind === "program" || any || values["port"] !== undefined;
  const all = { streamableHttp: true, sse: true, websocket: true };
  const headerEnv = headerEnvOf(listOf(values, "header-to-env"), source);
  const cors = listOf(values, "cors");
  if (!overHttp && cors.length > 0) throw new UsageError("--cors needs --port or one of --expose-…");
  return { source, expose: overHttp ? (any ? chosen : all) : undefined, headerEnv, cors };
}

type Values = Parsed["values"];

function listOf(values: Values, flag: keyof typeof translateFlags): readonly string[] {
  return (values[flag] ?? []) as unknown as readonly string[];
}

const places = ["stdio", "connect", "connect-streamable-http", "connect-sse"] as const;

function sourceOf(values: Values, env: Readonly<Record<string, string | undefined>>): TranslateSource {
  const given = places.filter((place) => values[place] !== undefined);
  const [place] = given;
  if (place === undefined || given.length > 1) {
    throw new UsageError("needs one of --stdio COMMAND and --connect URL");
  }
  const text = String(values[place]);
  const isProgram = place === "stdio";
  for (const flag of isProgram ? (["header"] as const) : (["env", "cwd", "child"] as const)) {
    if (values[flag] !== undefined) {
      throw new UsageError(`--${flag} goes with --${isProgram ? "connect" : "stdio"}`);
    }
  }
  if (isProgram) return programOf(text, values, env);
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new UsageError(`--${place} has to be a URL of http or https, not "${text}"`);
  }
  return {
    kind: "remote",
    url: text,
    transport:
      place === "connect-sse" ? "sse" : place === "connect" ? undefined : ("streamable-http" as const),
    headers: Object.fromEntries(listOf(values, "header").map((header) => headerOf(header, env))),
  };
}

function programOf(
  text: string,
  values: Values,
  env: Readonly<Record<string, string | undefined>>,
): TranslateSource {
  const [command, ...args] = splitCommand(text) ?? [];
  if (command === undefined || command === "") {
    throw new UsageError(`--stdio has to be a command, and its quotes have to be closed: ${text}`);
  }
  const { child = "session", cwd } = values;
  if (child !== "session" && child !== "shared") {
    throw new UsageError(`--child has to be session or shared, not "${child}"`);
  }
  const variables = listOf(values, "env").map((assignment) => {
    const at = assignment.indexOf("=");
    const name = at < 0 ? assignment : assignment.slice(0, at);
    const value = at < 0 ? env[name] : assignment.slice(at + 1);
    if (!variableName.test(name)) throw new UsageError(`--env "${name}" is no name of a variable`);
    if (value === undefined) throw new UsageError(`--env ${name}: it is not set here; write ${name}=VALUE`);
    return [name, value] as const;
  });
  const folder = typeof cwd === "string" ? cwd : undefined;
  return { kind: "program", command, args, env: Object.fromEntries(variables), cwd: folder, child };
}

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** `Name: value`, where `${VARIABLE}` stands for the environment's, so that no secret has to be an argument. */
function headerOf(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
): readonly [name: string, value: string] {
  const [, name = "", value = ""] = /^([^:]*):\s*(.*)$/s.exec(text) ?? [];
  if (!headerName.test(name)) throw new UsageError('--header has to be of the form "Name: value"');
  const filled = value.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => {
    const found = env[variable];
    if (found === undefined) throw new UsageError(`--header ${name}: the variable ${variable} is not set`);
    return found;
  });
  return [name, filled];
}

/** Variables by which a caller could make a program run something else. */
const unsafe =
  /^(PATH|ENV|BASH_ENV|SHELL|IFS|NODE_OPTIONS|NODE_PATH|PERL5LIB|RUBYOPT|LD_.*|DYLD_.*|PYTHON.*)$/i;

function headerEnvOf(mappings: readonly string[], source: TranslateSource): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const mapping of mappings) {
    const [, header = "", variable = ""] = /^([^=]*)=(.*)$/.exec(mapping) ?? [];
    if (!headerName.test(header) || !variableName.test(variable)) {
      throw new UsageError(`--header-to-env has to be of the form HEADER=VARIABLE, not "${mapping}"`);
    }
    if (unsafe.test(variable)) throw new UsageError(`--header-to-env may not set ${variable}`);
    if (found.has(header.toLowerCase())) throw new UsageError(`--header-to-env names "${header}" twice`);
    if ([...found.values()].includes(variable))
      throw new UsageError(`--header-to-env sets ${variable} twice`);
    found.set(header.toLowerCase(), variable);
  }
  if (found.size > 0 && source.kind === "remote") throw new UsageError("--header-to-env goes with --stdio");
  if (found.size > 0 && source.kind === "program" && source.child === "shared") {
    throw new UsageError(
      "--header-to-env needs a process for each session, and --child shared has one for all",
    );
  }
  return found;
}
