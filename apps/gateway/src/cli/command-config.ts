import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load-config.ts";
import type { CommandIo } from "./command-io.ts";
import { type Parsed, settingsOf } from "./flags.ts";

/** The configuration that a command runs under: its flags, the environment, and the file that either names. */
export function loadCommandConfig(values: Parsed["values"], io: CommandIo): Promise<GatewayConfig> {
  const file = configFileOf(values, io);
  return loadConfig({
    flags: settingsOf(values),
    env: io.env,
    onWarning: (text) => io.err(`gatewright: ${text}`),
    ...(file === undefined ? {} : { file }),
  });
}

/** The configuration file that a flag or the environment names. */
export function configFileOf(values: Parsed["values"], { env }: CommandIo): string | undefined {
  const file = values["config"] ?? env["GATEWRIGHT_CONFIG"];
  return typeof file === "string" && file !== "" ? file : undefined;
}
