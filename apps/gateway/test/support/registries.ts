import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PostgresServer, startPostgres } from "@gatewright/testkit";
import { pino } from "pino";
import { gatewayConfig } from "../../src/config/gateway-config.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { openRegistry } from "../../src/registry/open-registry.ts";
import type { Registry, UpstreamInput } from "../../src/registry/registry.ts";
import { loadSecret } from "../../src/secret/gateway-secret.ts";

/** A kind of database that the registry may be in; `url` is a fresh, empty one. */
export interface RegistryKind {
  readonly name: "SQLite" | "PostgreSQL";
  url(): Promise<string>;
  close(): Promise<void>;
}

/** SQLite files below a temporary folder. */
export async function sqliteKind(): Promise<RegistryKind> {
  const folder = await mkdtemp(join(tmpdir(), "gatewright-registry-"));
  let count = 0;
  return {
    name: "SQLite",
    url: async () => `sqlite:${join(folder, String(++count), "registry.db")}`,
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Databases of one PostgreSQL server. */
export async function postgresKind(): Promise<RegistryKind & { readonly server: PostgresServer }> {
  const server = await startPostgres();
  let count = 0;
  return {
    name: "PostgreSQL",
    server,
    async url() {
      const database = `registry${++count}`;
      await server.query(`create database ${database}`);
      return server.url.replace(/\/postgres$/, `/${database}`);
    },
    close: () => server.close(),
  };
}

const secret = loadSecret("", { GATEWRIGHT_SECRET: "registry-test-secret-of-32-bytes-or-more" });

/** Opens a registry as a gateway does, its tables made. */
export async function openAt(url: string, database: object = {}): Promise<Registry> {
  const registry = await openRegistry(gatewayConfig.parse({ database: { url, pollMs: 50, ...database } }), {
    secret,
    redis: undefined,
    metrics: new Metrics({ processMetrics: false }),
    logger: pino({ level: "silent" }),
  });
  await registry.migrate();
  return registry;
}

/** An upstream to register. */
export const upstreamInput = (name: string, more: Partial<UpstreamInput> = {}): UpstreamInput => ({
  name,
  definition: {
    url: "http://127.0.0.1:1/mcp",
    stateless: false,
    trusted: false,
    idempotency: false,
    child: "session",
    passthroughHeaders: [],
    tags: [],
  },
  credentials: { headers: { authorization: "Bearer planted-secret" }, env: {} },
  source: "api",
  ...more,
});
