import { createGatewayCore } from "../app/create-gateway-core.ts";
import { type Gateway, startGateway } from "../app/gateway.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { type GatewaySecret, loadSecret, passingSecret } from "../secret/gateway-secret.ts";
import { serveStdio } from "../translate/serve-stdio.ts";
import { createTranslateApp } from "../translate/translate-app.ts";
import { translateConfig, translateEnvironment } from "../translate/translate-config.ts";
import {
  type Exposed,
  readTranslateOptions,
  type TranslateOptions,
  translateFlags,
} from "../translate/translate-options.ts";
import { loadCommandConfig } from "./command-config.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { createLogger } from "./create-logger.ts";
import { parseFlags, UsageError } from "./flags.ts";
import { portInUse } from "./port-in-use.ts";

/**
 * `gatewright translate`: serves a program that speaks MCP on its standard input and output over HTTP, or a server
 * elsewhere on our own, until the process is asked to stop or the client on standard input goes.
 */
export async function translate(args: readonly string[], io: CommandIo): Promise<number> {
  const parsed = parseFlags(args, translateFlags);
  const options = readTranslateOptions(parsed, io.env);
  const env = translateEnvironment(io.env);
  const loaded = await loadCommandConfig(parsed.values, { ...io, env });
  const config = translateConfig(loaded, options, env["AUTH_REQUIRED"] ? loaded.auth.required : undefined);
  if (config.auth.required && options.headerEnv.has("authorization")) {
    throw new UsageError("the header Authorization carries the token for this bridge, and cannot be mapped");
  }
  const deps = { secret: secretFor(config, env), logger: createLogger(config) };
  const stopped = io.stopped();
  if (options.expose === undefined) {
    const core = await createGatewayCore(config, deps);
    const { input = process.stdin, output = process.stdout } = io;
    await serveStdio(core, { input, output }, stopped);
    await core.close(0);
    return exitCodes.ok;
  }
  const { expose } = options;
  let gateway: Gateway;
  try {
    gateway = await startGateway(config, deps, (core) => createTranslateApp(core, expose, options));
  } catch (error) {
    return portInUse(error, io);
  }
  for (const line of announcement(gateway.url, expose, options)) io.out(line);
  await stopped;
  deps.logger.info("stopping");
  await gateway.close();
  return exitCodes.ok;
}

/** A key of its own for everything but tokens, which the deployment's `gatewright token` mints. */
function secretFor(config: GatewayConfig, env: CommandIo["env"]): GatewaySecret {
  const own = passingSecret();
  if (!config.auth.required) return own;
  const deployment = loadSecret(config.server.dataDir, env);
  return {
    key: (label) => (label === "jwt" ? deployment : own).key(label),
    accepted: (label) => (label === "jwt" ? deployment : own).accepted(label),
  };
}

function announcement(url: string, expose: Exposed, { source }: TranslateOptions): string[] {
  const what = source.kind === "program" ? source.command : new URL(source.url).origin;
  return [
    `Gatewright translates ${what} at ${url}`,
    ...(expose.streamableHttp ? [`  streamable HTTP  ${url}/mcp`] : []),
    ...(expose.sse ? [`  HTTP+SSE         ${url}/sse`] : []),
    ...(expose.websocket ? [`  WebSocket        ${url.replace("http", "ws")}/ws`] : []),
    `  health           ${url}/healthz`,
  ];
}
