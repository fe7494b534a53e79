import { configJsonSchema } from "../config/gateway-config.ts";
import { loadCommandConfig } from "./command-config.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { parseFlags, UsageError } from "./flags.ts";

/** `gatewright config check` says whether the configuration is right; `config schema` prints its JSON Schema. */
export async function configCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, words } = parseFlags(args);
  const [action, file] = words;
  if (action === "schema") {
    io.out(JSON.stringify(configJsonSchema(), null, 2));
    return exitCodes.ok;
  }
  if (action !== "check") throw new UsageError("use `config check [FILE]` or `config schema`");
  const config = await loadCommandConfig(file === undefined ? values : { ...values, config: file }, io);
  const upstreams = Object.keys(config.mcpServers).length;
  io.out(
    `The configuration is right: ${config.server.host}:${config.server.port}, ${upstreams} upstream(s).`,
  );
  return exitCodes.ok;
}
