import { createFaultProxy, type FaultChange, type FaultProxy } from "@gatewright/db-resilience/testing";
import { startEchoServer } from "@gatewright/mcp-fixtures";
import {
  eventually,
  type PostgresServer,
  type PostgresStandby,
  type RedisServer,
  startGateway,
  startPostgres,
  startPostgresPair,
  startRedis,
} from "@gatewright/testkit";
import { type BareServer, startBareServer } from "./bare-server.ts";
import { createCaller, type Replica } from "./replica.ts";

/** Options of {@link openStage}. */
export interface StageOptions {
  /** A primary with a streaming standby, both in the URL; by default one server. */
  readonly pair?: "synchronous" | "asynchronous";
  /** A Redis that the replicas share: then their fence is in it. */
  readonly redis?: boolean;
  /** Default 2. */
  readonly replicas?: number;
  /** The `database` part of the configuration. */
  readonly database?: Readonly<Record<string, unknown>>;
  /** Settings of the servers. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** Gateway replicas over real PostgreSQL, with a fault proxy on every line between them. */
export interface Stage {
  readonly primary: PostgresServer;
  readonly standby: PostgresStandby | undefined;
  readonly redis: RedisServer | undefined;
  readonly replicas: readonly Replica[];
  /** A server of Node alone beside them. */
  readonly bare: BareServer;
  /** The id of the registered upstream. */
  readonly upstreamId: string;
  /** What no answer may show: hosts and logins. */
  secrets(): RegExp;
  /** Everything that no answer may have been, so far. */
  readonly problems: string[];
  /** Lays a fault on the line of every replica to one server, the first by default. */
  fault(change: FaultChange, server?: number): void;
  /** Lifts all faults of all lines. */
  heal(): void;
  /** Waits until every replica says that it is ready. */
  untilReady(timeoutMs?: number): Promise<void>;
  /** Puts another server at a place of the URL. */
  replace(place: number, server: PostgresServer): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts everything and waits until both replicas serve the upstream. */
export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const settings = { deadlock_timeout: "100ms", max_connections: 60, ...options.settings };
  const opened: { close(): Promise<unknown> }[] = [];
  const keep = <T extends { close(): Promise<unknown> }>(one: T): T => {
    opened.push(one);
    return one;
  };
  const close = async () => {
    for (const one of opened.splice(0).reverse()) await one.close();
  };
  try {
    const [echo, bare] = [keep(await startEchoServer()), keep(await startBareServer())];
    const redis = options.redis === true ? keep(await startRedis()) : undefined;
    const pair =
      options.pair === undefined
        ? undefined
        : keep(await startPostgresPair({ settings, synchronous: options.pair === "synchronous" }));
    const primary = pair?.primary ?? keep(await startPostgres({ settings }));
    const servers: PostgresServer[] = pair === undefined ? [primary] : [primary, pair.standby];
    const problems: string[] = [];
    const lines: FaultProxy[][] = servers.map(() => []);
    const secrets = () => {
      const ports = [...servers, ...lines.flat()].map(({ port }) => port);
      return new RegExp(`testkit-password|postgres(ql)?://|:(${ports.join("|")})\\b|gatewright@`);
    };
    const startOne = async (name: string): Promise<Replica> => {
      const proxies: FaultProxy[] = [];
      for (const [place, { host, port }] of servers.entries()) {
        const proxy = keep(await createFaultProxy({ upstream: { host, port } }));
        lines[place]?.push(proxy);
        proxies.push(proxy);
      }
      const hosts = proxies.map(({ host, port }) => `${host}:${port}`).join(",");
      const login = `${primary.user}:${primary.password}`;
      const gateway = keep(
        await startGateway({
          env: {
            DATABASE_URL: `postgres://${login}@${hosts}/postgres?application_name=${name}`,
            LOG_LEVEL: "info",
            ...(redis === undefined ? {} : { REDIS_URL: redis.url }),
          },
          config: {
            mcpServers: { echo: { url: echo.url } },
            database: { ...options.database },
            server: { drainNoticeMs: 0 },
          },
          readyTimeoutMs: 60_000,
        }),
      );
      const note = (problem: string) => problems.push(problem);
      const caller = createCaller(name, gateway.url, secrets, note, () => gateway.pid);
      return { ...caller, gateway, proxies };
    };
    const names = Array.from({ length: options.replicas ?? 2 }, (_, index) => `replica${index + 1}`);
    const replicas = await Promise.all(names.map(startOne));
    const stage: Stage = {
      primary,
      standby: pair?.standby,
      redis,
      replicas,
      bare,
      upstreamId: "",
      secrets,
      problems,
      fault: (change, server = 0) => {
        for (const proxy of lines[server] ?? []) proxy.set(change);
      },
      heal: () => {
        for (const proxy of lines.flat()) proxy.heal();
      },
      untilReady: async (timeoutMs = 10_000) => {
        await Promise.all(
          replicas.map(({ rest }) =>
            eventually(async () => (await rest("/health/ready")).status === 200, {
              timeoutMs,
              intervalMs: 25,
            }),
          ),
        );
      },
      replace(place, server) {
        servers[place] = server;
        for (const proxy of lines[place] ?? []) {
          proxy.setUpstream({ host: server.host, port: server.port });
          proxy.resetConnections();
        }
      },
      close,
      [Symbol.asyncDispose]: close,
    };
    await stage.untilReady(20_000);
    for (const { callTool } of replicas) {
      await eventually(() => callTool(1).catch(() => false), { timeoutMs: 20_000, intervalMs: 50 });
    }
    const [first] = (await replicas[0]?.rest("/gateways"))?.body.items ?? [];
    return Object.assign(stage, { upstreamId: String(first?.id) });
  } catch (error) {
    await close();
    throw error;
  }
}
