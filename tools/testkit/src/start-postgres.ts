import { execFile } from "node:child_process";
import { chmod, chown, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { findPostgres, postgresPassword, postgresUser } from "./postgres-binaries.ts";
import { childrenOf, signalAll } from "./process-tree.ts";
import { type PortReservation, reservePort } from "./reserve-port.ts";
import { makeScratchDirectory } from "./scratch-directory.ts";
import { type ServerProcess, startServerProcess } from "./server-process.ts";

const run = promisify(execFile);

/** Options of {@link startPostgres}. */
export interface StartPostgresOptions {
  /** Server settings, e.g. `{ max_connections: 20 }`; they win over the testkit's own. */
  settings?: Readonly<Record<string, string | number>>;
  /** How clients prove who they are; default trust. The password of the URL is right for both. */
  auth?: "trust" | "scram-sha-256";
  /** Flush to disk as in production; default false. A killed process loses nothing either way. */
  durable?: boolean;
  /** More files in the data directory, e.g. `server.crt` and `server.key`, readable by the server alone. */
  files?: Readonly<Record<string, string>>;
  /** Fills the data directory instead of the copy of the template (for standbys). */
  fillData?: (data: string) => Promise<void>;
}

/** A private PostgreSQL server. It dies with the test process, whatever happens to that. */
export interface PostgresServer {
  /** postgres://user:password@127.0.0.1:port/postgres */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly dataDirectory: string;
  readonly pid: number;
  readonly running: boolean;
  /** A connected pg client, ended by `close()`; its connection errors are swallowed. */
  client(config?: pg.ClientConfig): Promise<pg.Client>;
  /** Runs one statement on a connection of its own (application_name `testkit`). */
  query<Row extends pg.QueryResultRow = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<Row[]>;
  /** Ends the server as an administrator would (fast shutdown: open sessions get 57P01). */
  stop(): Promise<void>;
  /** Kills the server and all its backends by SIGKILL. */
  kill(): Promise<void>;
  /** Starts again on the same port with the same data, stopping it first if it runs. */
  restart(): Promise<void>;
  /** Freezes the server and its backends (SIGSTOP): connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
  logs(): string;
  /** Ends the server and its clients and removes its data; idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const testSettings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  shared_buffers: "16MB",
  max_connections: 100,
  wal_level: "replica",
  hot_standby: "on",
  // Without this a promotion waits up to five seconds for its WAL source.
  wal_retrieve_retry_interval: "100ms",
  autovacuum: "off",
  log_line_prefix: "",
};

/** A server that is killed leaves shared memory behind, and in its data directory that goes with it. */
const inMemorySettings = { dynamic_shared_memory_type: "mmap" };

/** Starts a PostgreSQL server on a free port of 127.0.0.1 with a copy of the template; ready in about 0.2 s. */
export async function startPostgres(options: StartPostgresOptions = {}): Promise<PostgresServer> {
  const { template, identity } = await findPostgres();
  const { path: directory, inMemory } = await makeScratchDirectory("gatewright-postgres-", options);
  const data = join(directory, "data");
  if (options.fillData) await options.fillData(data);
  else await run("cp", ["-a", template, data]);
  await chmod(data, 0o700);
  if (identity) await chown(directory, identity.uid, identity.gid);
  if (options.auth) {
    await writeFile(join(data, "pg_hba.conf"), hostBasedAccess(options.auth));
  }

  for (const [name, text] of Object.entries(options.files ?? {})) {
    await writeFile(join(data, name), text, { mode: 0o600 });
    if (identity) await chown(join(data, name), identity.uid, identity.gid);
  }

  const given = inMemory ? { ...options, settings: { ...inMemorySettings, ...options.settings } } : options;
  const started = await launchOnFreePort(given, data);
  let { server } = started;
  const { reservation } = started;
  const { port } = reservation;
  const clients = new Set<pg.Client>();
  let closed: Promise<void> | undefined;
  const connection = {
    host: "127.0.0.1",
    port,
    user: postgresUser,
    password: postgresPassword,
    database: "postgres",
  };

  const family = () => [server.pid, ...childrenOf(server.pid)];
  const end = async (signal: NodeJS.Signals) => {
    if (!server.running) return;
    const pids = family();
    if (signal === "SIGKILL") signalAll(pids, "SIGKILL");
    signalAll(pids, "SIGCONT");
    await server.end(signal);
  };
  const connect = async (config: pg.ClientConfig = {}) => {
    const client = new pg.Client({ ...connection, application_name: "testkit", ...config });
    client.on("error", () => {}); // Faults are what the tests are about; queries report them.
    await client.connect();
    clients.add(client);
    client.once("end", () => clients.delete(client));
    return client;
  };
  const shutDown = async () => {
    await end("SIGKILL");
    await Promise.allSettled([...clients].map((client) => client.end()));
    await rm(directory, { recursive: true, force: true });
    reservation.release();
  };
  const close = () => {
    closed ??= shutDown();
    return closed;
  };

  return {
    ...connection,
    url: `postgres://${postgresUser}:${postgresPassword}@127.0.0.1:${port}/postgres`,
    dataDirectory: data,
    get pid() {
      return server.pid;
    },
    get running() {
      return server.running;
    },
    client: connect,
    async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) {
      const client = await connect();
      try {
        return (await client.query<Row>(text, [...values])).rows;
      } finally {
        await client.end().catch(() => {});
      }
    },
    stop: () => end("SIGINT"),
    kill: () => end("SIGKILL"),
    async restart() {
      await end("SIGINT");
      server = await launch(given, data, port);
    },
    pause: () => signalAll(family(), "SIGSTOP"),
    resume: () => signalAll(family().reverse(), "SIGCONT"),
    logs: () => server.logs(),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function hostBasedAccess(method: string): string {
  return [`host all all 127.0.0.1/32 ${method}`, `host replication all 127.0.0.1/32 ${method}`, ""].join(
    "\n",
  );
}

async function launchOnFreePort(
  options: StartPostgresOptions,
  data: string,
): Promise<{ server: ServerProcess; reservation: PortReservation }> {
  for (let attempt = 1; ; attempt++) {
    const reservation = await reservePort();
    try {
      return { server: await launch(options, data, reservation.port), reservation };
    } catch (error) {
      reservation.release();
      if (attempt === 5 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}

async function launch(options: StartPostgresOptions, data: string, port: number): Promise<ServerProcess> {
  const { postgres, identity } = await findPostgres();
  const quick = options.durable ? {} : { fsync: "off", full_page_writes: "off" };
  const settings = { ...testSettings, ...quick, ...options.settings, port };
  const server = await startServerProcess({
    command: postgres,
    args: ["-D", data, ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`])],
    env: { ...process.env, LC_ALL: "C", PGTZ: "UTC" },
    cwd: data,
    ...identity,
    signalOnOwnerDeath: "QUIT",
  });
  try {
    await server.waitForOutput(/database system is ready to accept (read-only )?connections/);
    return server;
  } catch (error) {
    await server.end("SIGKILL");
    throw error;
  }
}
