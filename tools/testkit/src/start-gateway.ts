import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GatewayTokenOptions, mintGatewayToken } from "./gateway-token.ts";
import { removeDirectoryAtExit } from "./lifeline.ts";
import { childrenOf, signalAll } from "./process-tree.ts";
import { type PortReservation, reservePort } from "./reserve-port.ts";
import { type ProcessExit, type ServerProcess, startServerProcess } from "./server-process.ts";

/** Options of {@link startGateway}. */
export interface StartGatewayOptions {
  /** More environment, e.g. `{ REDIS_URL: redis.url }`; it wins over the testkit's own. */
  env?: Readonly<Record<string, string>>;
  /** Written to a file that GATEWRIGHT_CONFIG names. */
  config?: Readonly<Record<string, unknown>>;
  /** GATEWRIGHT_SECRET; replicas of one deployment share it. Default the same for all. */
  secret?: string;
  /** More command-line arguments, e.g. `["--demo"]`. */
  args?: readonly string[];
  /** More arguments of node itself, e.g. `["--expose-gc"]`. */
  nodeArgs?: readonly string[];
  /** Default 20 000. */
  readyTimeoutMs?: number;
}

/** A gateway as a process of its own. It dies with the test process, whatever happens to that. */
export interface Gateway {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly running: boolean;
  readonly dataDirectory: string;
  /** A token with the scopes mcp and admin (needed with `AUTH_REQUIRED: "true"`; the testkit turns auth off). */
  readonly token: string;
  /** Another token for this gateway. */
  mintToken(options?: GatewayTokenOptions): string;
  logs(): string;
  /** Asks it to drain and end (SIGTERM) and resolves with how it ended; killed after 15 s. */
  stop(): Promise<ProcessExit>;
  /** Ends it by SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same port with the same data, stopping it first if it runs. */
  restart(): Promise<void>;
  /** Freezes the process (SIGSTOP). */
  pause(): void;
  resume(): void;
  /** Kills it and removes its data; idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const main = join(import.meta.dirname, "../../../apps/gateway/src/main.ts");
const defaultSecret = "testkit-secret-of-at-least-32-bytes";

/** Starts a gateway from source, without auth on loopback unless told otherwise, and waits until it is live. */
export async function startGateway(options: StartGatewayOptions = {}): Promise<Gateway> {
  const directory = await mkdtemp(join(tmpdir(), "gatewright-gateway-"));
  removeDirectoryAtExit(directory);
  const secret = options.secret ?? options.env?.["GATEWRIGHT_SECRET"] ?? defaultSecret;
  const started = await launchOnFreePort(options, directory, secret);
  let { server } = started;
  const { reservation } = started;
  const { port } = reservation;
  let closed: Promise<void> | undefined;

  const kill = async () => {
    if (!server.running) return;
    const family = childrenOf(server.pid);
    await server.end("SIGKILL");
    signalAll(family, "SIGKILL");
  };
  const stop = async () => {
    server.signal("SIGCONT");
    return server.end("SIGTERM", 15_000);
  };
  const shutDown = async () => {
    await kill();
    await rm(directory, { recursive: true, force: true });
    reservation.release();
  };
  const close = () => {
    closed ??= shutDown();
    return closed;
  };
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    dataDirectory: directory,
    get pid() {
      return server.pid;
    },
    get running() {
      return server.running;
    },
    token: mintGatewayToken(secret),
    mintToken: (tokenOptions) => mintGatewayToken(secret, tokenOptions),
    logs: () => server.logs(),
    stop,
    kill,
    async restart() {
      if (server.running) await stop();
      server = await launch(options, directory, secret, port);
    },
    pause: () => server.signal("SIGSTOP"),
    resume: () => server.signal("SIGCONT"),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Starts several replicas of one deployment: same options and secret, data directories and ports of their own. */
export async function startGatewayReplicas(
  count: number,
  options: StartGatewayOptions = {},
): Promise<Gateway[]> {
  const starts = await Promise.allSettled(Array.from({ length: count }, () => startGateway(options)));
  const gateways = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
  const failed = starts.find((start) => start.status === "rejected");
  if (!failed) return gateways;
  await Promise.all(gateways.map((gateway) => gateway.close()));
  throw failed.reason;
}

async function launchOnFreePort(
  options: StartGatewayOptions,
  directory: string,
  secret: string,
): Promise<{ server: ServerProcess; reservation: PortReservation }> {
  for (let attempt = 1; ; attempt++) {
    const reservation = await reservePort();
    try {
      return { server: await launch(options, directory, secret, reservation.port), reservation };
    } catch (error) {
      reservation.release();
      if (attempt === 5 || !/EADDRINUSE|port \d+ is (taken|in use)|already in use/i.test(String(error))) {
        throw error;
      }
    }
  }
}

async function launch(
  options: StartGatewayOptions,
  directory: string,
  secret: string,
  port: number,
): Promise<ServerProcess> {
  const file = join(directory, "gateway.json");
  if (options.config) await writeFile(file, JSON.stringify(options.config));
  const server = await startServerProcess({
    command: process.execPath,
    args: [
      ...["--conditions=@gatewright/source", "--disable-warning=ExperimentalWarning"],
      ...(options.nodeArgs ?? []),
      ...[main, "serve", ...(options.args ?? [])],
    ],
    env: {
      ...environment(),
      PORT: String(port),
      DATA_DIR: join(directory, "data"),
      AUTH_REQUIRED: "false",
      GATEWRIGHT_SECRET: secret,
      ...(options.config ? { GATEWRIGHT_CONFIG: file } : {}),
      ...options.env,
    },
    signalOnOwnerDeath: "KILL",
  });
  try {
    await server.waitForOutput(/listens on (http:\/\/\S+)/, options.readyTimeoutMs);
    const live = await fetch(`http://127.0.0.1:${port}/health/live`);
    if (!live.ok) throw new Error(`/health/live answered ${live.status}`);
    return server;
  } catch (error) {
    await server.end("SIGKILL");
    throw error;
  }
}

/** This process's environment without what would steer the gateway or belongs to the test runner. */
function environment(): NodeJS.ProcessEnv {
  const steering = /^(GATEWRIGHT_|VITEST|NODE_OPTIONS$|NODE_V8_COVERAGE$)/;
  const named = [
    "DATABASE_URL",
    "REDIS_URL",
    "WORKERS",
    "HOST",
    "ADVERTISE_URL",
    "TRUSTED_PROXIES",
    "LOG_LEVEL",
  ];
  const kept = Object.entries(process.env).filter(([name]) => !steering.test(name) && !named.includes(name));
  return Object.fromEntries(kept);
}
