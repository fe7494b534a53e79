import { type GatewayConfig, gatewayConfig } from "../config/gateway-config.ts";
import { isLoopbackHost } from "../config/load-config.ts";
import { mcpServerEntry } from "../config/mcp-servers.ts";
import type { TranslateOptions, TranslateSource } from "./translate-options.ts";

/** Name of the one server, in errors and logs. */
const serverName = "server";

/** The part of the environment that concerns a bridge; the rest is a gateway's, which may run beside it. */
export function translateEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const concerns =
    /^(PORT|HOST|DATA_DIR|LOG_LEVEL|TRUSTED_PROXIES|ADVERTISE_URL|AUTH_REQUIRED|GATEWRIGHT_SECRET(_PREVIOUS)?|GATEWRIGHT_(AUTH|BRIDGE|LIMITS|SERVER|SESSIONS)__\w+)$/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => concerns.test(name)));
}

/**
 * A gateway's configuration with the one server of a bridge and a registry in memory. On loopback no token is needed
 * unless `authRequired` says so; elsewhere one always is.
 */
export function translateConfig(
  config: GatewayConfig,
  { source, expose, cors }: Pick<TranslateOptions, "source" | "expose" | "cors">,
  authRequired: boolean | undefined,
): GatewayConfig {
  const { server, auth, database } = config;
  const alone = expose === undefined || isLoopbackHost(server.host);
  return {
    ...config,
    server: {
      ...server,
      workers: 1,
      // Whoever starts a bridge says where it leads.
      ssrf: { allowPrivate: true },
      allowedOrigins: [...server.allowedOrigins, ...cors],
    },
    auth: { ...auth, required: authRequired ?? !alone },
    database: { ...database, url: "sqlite::memory:" },
    redis: gatewayConfig.shape.redis.parse({}),
    mcpServers: { [serverName]: entryOf(source) },
  };
}

function entryOf(source: TranslateSource): GatewayConfig["mcpServers"][string] {
  if (source.kind === "program") {
    const { kind: _, cwd, ...program } = source;
    return mcpServerEntry.parse({ ...program, ...(cwd !== undefined && { cwd }) });
  }
  const { url, headers, transport } = source;
  return mcpServerEntry.parse({ url, headers, ...(transport !== undefined && { type: transport }) });
}
