import { ConfigError } from "../config/config-error.ts";
import { nearestKey } from "../config/nearest-key.ts";
import { GatewayError } from "../errors.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { configCommand } from "./config-command.ts";
import { UsageError } from "./flags.ts";
import { pluginsCommand } from "./plugins-command.ts";
import { serve } from "./serve.ts";
import { token } from "./token.ts";

type Command = (args: readonly string[], io: CommandIo) => Promise<number>;

const server = "[--config FILE] [--port N] [--host H] [--data-dir D] [--log-level L]";

const commands: Readonly<
  Record<string, { readonly run: Command; readonly text: string; readonly flags: readonly string[] }>
> = {
  serve: { run: serve, text: "run a gateway", flags: ["[--demo]", server] },
  token: {
    run: token,
    text: "mint a JWT for a user",
    flags: [
      '[--user U] [--scope "mcp admin"] [--tenant T] [--server ID …]',
      "[--expires-in S] [--api-key NAME]",
    ],
  },
  config: {
    run: configCommand,
    text: "check the configuration, compare it with another, or print its JSON Schema",
    flags: ["check [FILE] | diff FILE [--config OLD] | schema"],
  },
  translate: {
    run: async (args, io) => (await import("./translate.ts")).translate(args, io),
    text: "bridge an MCP server: a program to HTTP, or a URL to standard input and output",
    flags: [
      "--stdio COMMAND [--env NAME[=VALUE] …] [--cwd DIR] [--child session|shared]",
      "--connect URL | --connect-sse URL | --connect-streamable-http URL  [--header 'NAME: VALUE' …]",
      "[--expose-streamable-http] [--expose-sse] [--expose-websocket] [--port N] [--host H]",
      "[--header-to-env HEADER=VARIABLE …] [--cors ORIGIN …] [--log-level L]",
    ],
  },
  plugins: {
    run: pluginsCommand,
    text: "list the plugins of a running gateway, or switch their modes",
    flags: [
      "list | mode NAME [enforce|permissive|disabled|inherit]",
      "[--wait all|quorum|none] [--tenant T] [--ttl-ms N] [--wipe auto|always|never] [--url U] [--token T]",
    ],
  },
};

/** Runs a command and returns its exit code; whatever goes wrong is said in sentences on `io.err`. */
export async function runCli(args: readonly string[], io: CommandIo): Promise<number> {
  const [name = "help", ...rest] = args;
  if (name === "help" || name === "--help" || name === "-h") {
    for (const line of usage()) io.out(line);
    return exitCodes.ok;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const near = nearestKey(name, Object.keys(commands));
    io.err(
      `gatewright: there is no command "${name}"${near === undefined ? "" : `; did you mean "${near}"?`}`,
    );
    for (const line of usage()) io.err(line);
    return exitCodes.usage;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    io.out(`gatewright ${name}: ${command.text}`);
    for (const line of command.flags) io.out(`  ${line}`);
    return exitCodes.ok;
  }
  try {
    return await command.run(rest, io);
  } catch (error) {
    if (error instanceof ConfigError) {
      io.err("gatewright: the configuration is not right");
      for (const line of error.message.split("\n")) io.err(`  ${line}`);
      return exitCodes.config;
    }
    if (error instanceof UsageError) {
      io.err(`gatewright ${name}: ${error.message}`);
      return exitCodes.usage;
    }
    if (GatewayError.is(error)) {
      io.err(`gatewright ${name}: ${error.message}`);
      return exitCodes.failure;
    }
    io.err(`gatewright ${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return exitCodes.failure;
  }
}

function usage(): string[] {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { text }]) => `  ${name.padEnd(width)}  ${text}`);
  return ["Usage: gatewright <command> [flags]", "", ...lines];
}
