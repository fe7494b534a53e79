import { z } from "zod";
import { authConfig } from "./auth.ts";
import { databaseConfig } from "./db-resilience.ts";
import { limitsConfig } from "./limits.ts";
import { bridgeConfig } from "./mcp-bridge.ts";
import { mcpServersConfig } from "./mcp-servers.ts";
import { observabilityConfig } from "./observability.ts";
import { pluginsConfig } from "./plugin-framework.ts";
import { redisConfig } from "./redis.ts";
import { retryConfig } from "./retry-backoff.ts";
import type { SchemaNode } from "./schema-node.ts";
import { serverConfig } from "./server.ts";
import { classifierConfig } from "./server-classifier.ts";
import { sessionsConfig } from "./session-pool.ts";

/** The whole configuration, one part a file. */
export const gatewayConfig = z.strictObject({
  server: serverConfig,
  auth: authConfig,
  database: databaseConfig,
  redis: redisConfig,
  plugins: pluginsConfig,
  mcpServers: mcpServersConfig,
  limits: limitsConfig,
  retry: retryConfig,
  sessions: sessionsConfig,
  classifier: classifierConfig,
  bridge: bridgeConfig,
  observability: observabilityConfig,
});

/** The parsed configuration. */
export type GatewayConfig = z.infer<typeof gatewayConfig>;

const inputSchema = { io: "input", unrepresentable: "any" } as const;

/** JSON Schema of the configuration file (draft 2020-12). */
export function configJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(gatewayConfig, inputSchema) as Record<string, unknown>;
}

/** The same to look keys up in: each section is made when it is looked at, as a start looks at few of them. */
export function configSchemaNode(): SchemaNode {
  const properties: Record<string, SchemaNode> = {};
  for (const [section, part] of Object.entries(gatewayConfig.shape)) {
    let made: SchemaNode | undefined;
    Object.defineProperty(properties, section, {
      enumerable: true,
      get: () => {
        made ??= z.toJSONSchema(part, inputSchema) as SchemaNode;
        return made;
      },
    });
  }
  return { type: "object", properties };
}
