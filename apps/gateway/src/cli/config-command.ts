import { configJsonSchema, type GatewayConfig } from "../config/gateway-config.ts";
import { type ConfigChange, diffConfig } from "../reload/config-diff.ts";
import { effectiveConfig } from "../reload/effective-config.ts";
import { loadCommandConfig } from "./command-config.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { parseFlags, UsageError } from "./flags.ts";

/**
 * `gatewright config check` says whether the configuration is right; `config diff` what a running gateway would make of
 * another file; `config schema` prints the JSON Schema.
 */
export async function configCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, words } = parseFlags(args);
  const [action, file] = words;
  if (action === "schema") {
    io.out(JSON.stringify(configJsonSchema(), null, 2));
    return exitCodes.ok;
  }
  if (action === "diff" && file !== undefined) {
    const from = await loadCommandConfig(values, io);
    const to = await loadCommandConfig({ ...values, config: file }, io);
    for (const line of diffLines(from, to)) io.out(line);
    return exitCodes.ok;
  }
  if (action !== "check") {
    throw new UsageError("use `config check [FILE]`, `config diff FILE [--config OLD]` or `config schema`");
  }
  const config = await loadCommandConfig(file === undefined ? values : { ...values, config: file }, io);
  const { checkPlugins } = await import("../wiring/check-plugins.ts");
  await checkPlugins(config);
  const upstreams = Object.keys(config.mcpServers).length;
  io.out(
    `The configuration is right: ${config.server.host}:${config.server.port}, ${upstreams} upstream(s).`,
  );
  return exitCodes.ok;
}

function diffLines(from: GatewayConfig, to: GatewayConfig): string[] {
  const line = ({ path, from: before, to: after }: ConfigChange) => `${path}: ${before} → ${after}`;
  const effective = effectiveConfig(from, to);
  const live = diffConfig(from, effective).map(line);
  const waiting = diffConfig(effective, to).map((change) => `${line(change)} (needs a restart)`);
  return live.length + waiting.length === 0 ? ["Nothing differs."] : [...live, ...waiting];
}
