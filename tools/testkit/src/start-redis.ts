import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { removeDirectoryAtExit } from "./lifeline.ts";
import { findRedis } from "./redis-binary.ts";
import type { RedisClientOptions } from "./redis-client-options.ts";
import { type PortReservation, reservePort } from "./reserve-port.ts";
import { type ServerProcess, startServerProcess } from "./server-process.ts";

/** Options of {@link startRedis}. */
export interface StartRedisOptions {
  /** Write every command to disk, so that `restart()` finds the data again; default false. */
  persist?: boolean;
  /** More arguments for redis-server, e.g. `["--maxmemory", "2mb"]`. */
  args?: readonly string[];
  /** Reserve port + 10000 too, for a cluster node; default false. */
  withBusPort?: boolean;
  /** Start as a sentinel with this configuration file. */
  sentinelConfig?: (port: number, directory: string) => Promise<string>;
}

/** A private Redis server. It dies with the test process, whatever happens to that. */
export interface RedisServer {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Process id of the running server. */
  readonly pid: number;
  readonly running: boolean;
  /** A new ioredis client, closed by `close()`. Defaults: one retry per request, quick reconnects. */
  client(options?: RedisClientOptions): Redis;
  /** Ends the server in good order (SIGTERM); `restart()` brings it back. */
  stop(): Promise<void>;
  /** Ends it by SIGKILL; `restart()` brings it back. */
  kill(): Promise<void>;
  /** Starts again on the same port, stopping it first if it runs; with the old data if `persist` was set. */
  restart(): Promise<void>;
  /** Freezes the process (SIGSTOP): connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
  logs(): string;
  /** Ends the server and its clients and removes its data; idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a Redis server on a free port of 127.0.0.1; ready in about 40 ms. */
export async function startRedis(options: StartRedisOptions = {}): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), "gatewright-redis-"));
  removeDirectoryAtExit(directory);
  const started = await launchOnFreePort(options, directory);
  let { server } = started;
  const { reservation } = started;
  const { port } = reservation;
  const clients = new Set<Redis>();
  let closed: Promise<void> | undefined;

  const stop = async (signal: NodeJS.Signals) => {
    if (!server.running) return;
    server.signal("SIGCONT");
    await server.end(signal);
  };
  const shutDown = async () => {
    for (const client of clients) client.disconnect();
    await stop("SIGKILL");
    await rm(directory, { recursive: true, force: true });
    reservation.release();
  };
  const close = () => {
    closed ??= shutDown();
    return closed;
  };

  return {
    url: `redis://127.0.0.1:${port}`,
    host: "127.0.0.1",
    port,
    get pid() {
      return server.pid;
    },
    get running() {
      return server.running;
    },
    client(clientOptions = {}) {
      const defaults: RedisClientOptions = {
        host: "127.0.0.1",
        port,
        maxRetriesPerRequest: 1,
        retryStrategy: (attempt) => Math.min(attempt * 20, 200),
      };
      const client = new Redis(Object.assign(defaults, clientOptions));
      client.on("error", () => {}); // Faults are what the tests are about; commands report them.
      clients.add(client);
      client.once("end", () => clients.delete(client));
      return client;
    },
    stop: () => stop("SIGTERM"),
    kill: () => stop("SIGKILL"),
    async restart() {
      await stop("SIGTERM");
      server = await launch(options, directory, port);
    },
    pause: () => server.signal("SIGSTOP"),
    resume: () => server.signal("SIGCONT"),
    logs: () => server.logs(),
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Launched {
  server: ServerProcess;
  reservation: PortReservation;
}

async function launchOnFreePort(options: StartRedisOptions, directory: string): Promise<Launched> {
  for (let attempt = 1; ; attempt++) {
    const reservation = await reservePort({ withBusPort: options.withBusPort ?? false });
    try {
      return { server: await launch(options, directory, reservation.port), reservation };
    } catch (error) {
      reservation.release();
      if (attempt === 5 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}

async function launch(options: StartRedisOptions, directory: string, port: number): Promise<ServerProcess> {
  const { path, env } = await findRedis();
  const persistence = options.persist
    ? ["--appendonly", "yes", "--appendfsync", "always"]
    : ["--appendonly", "no"];
  const place = ["--port", String(port), "--bind", "127.0.0.1", "--dir", directory];
  const args = options.sentinelConfig
    ? [await options.sentinelConfig(port, directory), "--sentinel"]
    : [...place, "--save", "", ...persistence, ...(options.args ?? [])];
  const server = await startServerProcess({ command: path, args, env: { ...process.env, ...env } });
  try {
    // Its own words, not a ping: on a lost race for the port a ping would reach somebody else's server.
    await server.waitForOutput(options.sentinelConfig ? /Sentinel ID is/ : /Ready to accept connections/);
    return server;
  } catch (error) {
    await server.end("SIGKILL");
    throw error;
  }
}
