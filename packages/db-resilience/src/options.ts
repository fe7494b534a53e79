import type { LookupFunction } from "node:net";
import type { ConnectionOptions as TlsOptions } from "node:tls";
import { z } from "zod";
import type { DatabaseError } from "./errors.ts";
import { nearestKey } from "./nearest-key.ts";
import { type addressSchema, optionsSchema } from "./options-schema.ts";
import { parseConnectionString } from "./parse-connection-string.ts";
import { wrongOptions } from "./refusals.ts";
import { createSharedLookup } from "./shared-lookup.ts";

/** Where a server is. */
export interface HostAddress {
  readonly host: string;
  /** Default 5432. */
  readonly port?: number;
}

/** Which servers may be used; names and meaning as in libpq. */
export type TargetSessionAttrs =
  | "any"
  | "read-write"
  | "read-only"
  | "primary"
  | "standby"
  | "prefer-standby";

/** Size and behaviour of the pool of each host. */
export interface PoolOptions {
  /** Connections kept open; default 5. */
  size?: number;
  /** More connections under load, closed soon after; default 10. */
  overflow?: number;
  /** Connections opened ahead of need and kept when idle; default 1. */
  min?: number;
  /** Callers that may wait for a connection; one more is refused at once (`pool_exhausted`). Default 200. */
  maxWaiting?: number;
  /** How long a caller waits for a connection; default 3 000. */
  acquireTimeoutMs?: number;
  /** Deadline of opening a connection, login included; default 2 000. */
  connectTimeoutMs?: number;
  /** Deadline of asking a connection whether it is alive; default 1 000. */
  validationTimeoutMs?: number;
  /** A connection used more recently than this is taken as alive; default 500. */
  validateIdleAfterMs?: number;
  /** Idle connections above `min` are closed after this; default 60 000. */
  idleTimeoutMs?: number;
  /** Idle connections above `size` are closed after this; default 1 000. */
  overflowIdleMs?: number;
  /** Age at which a connection is replaced; default 1 800 000. */
  maxLifetimeMs?: number;
  /** Share of `maxLifetimeMs` by which ages are spread, so that not all end at once; default 0.1. */
  lifetimeJitterRatio?: number;
  /** Idle connections are asked whether they are alive this often; default 30 000. */
  keepAliveMs?: number;
  /** A connection in use for longer is reported with the stack of its caller; 0, the default, is off. */
  leakDetectionMs?: number;
}

/** Deadlines of statements and transactions; 0 is off. */
export interface TimeoutOptions {
  /** `statement_timeout` of the server; default 5 000. */
  statementMs?: number;
  /** How much longer the client waits than the server before it gives the connection up; default 250. */
  statementGraceMs?: number;
  /** `lock_timeout` of the server; default 0. */
  lockMs?: number;
  /** `idle_in_transaction_session_timeout` of the server; default 30 000. */
  idleInTransactionMs?: number;
  /** Deadline of one attempt of `transaction()`; default 30 000. */
  transactionMs?: number;
}

/** How the state of a host is found out. */
export interface MonitorOptions {
  /** Pause between two checks of a host that is up; default 1 000. */
  intervalMs?: number;
  /** Shortest pause between two connection attempts to a host that is down; default 400. */
  minRetryMs?: number;
  /** Longest pause; default 1 000. */
  maxRetryMs?: number;
}

/** How transactions are repeated. */
export interface TransactionDefaults {
  /** Repetitions of one transaction; default 3. */
  retries?: number;
  /** Base of the full-jitter delay, doubled per repetition; default 10. */
  baseDelayMs?: number;
  /** Longest delay; default 500. */
  maxDelayMs?: number;
  /** Repetitions allowed per transaction begun, over all transactions (with a burst of 20); default 0.5. */
  budgetRatio?: number;
  /** How long the outcome of a lost COMMIT is looked for (`settle`), where the deadline leaves so much; default 15 000. */
  settleMs?: number;
}

/** Protection from writing to a server that has been replaced. */
export interface FencingOptions {
  /** Default: on when there are several hosts or a fence store, else off. */
  enabled?: boolean;
  /** How long after the start all hosts are asked before the first write; default 5 000. */
  discoveryMs?: number;
  /** What to do when hosts are unreachable and the store is empty; default refuse with a store, else allow. */
  onUnknown?: "refuse" | "allow";
  /** How long a look at the store allows writes, at most 1 000; default 1 000. */
  leaseMs?: number;
}

/** Reading from standbys. */
export interface ReplicaOptions {
  /** A standby further behind is not read from; default 5 000. */
  maxLagMs?: number;
  /** How long a read waits for the standby to reach the session's own write; default 50. */
  waitForWriteMs?: number;
  /** How long a standby may take to say how far it is, connecting included; then the primary is read. Default 250. */
  answerMs?: number;
}

/** Options of `createResilientDatabase`. */
export interface ResilientDatabaseOptions {
  /** The servers: "host", "host:port" or objects; 1 to 16. */
  hosts?: readonly (string | HostAddress)[];
  /** postgres://user:password@host:port,host:port/database?target_session_attrs=…; what is given beside it wins. */
  connectionString?: string;
  database?: string;
  user?: string;
  /** A function is asked at every connect, for passwords that change. */
  password?: string | (() => string | Promise<string>);
  /** true checks the certificate; options as for node:tls. Default off. */
  ssl?: boolean | TlsOptions;
  /** `application_name` of pooled connections; the monitor's has "-monitor" added. Default "gatewright". */
  applicationName?: string;
  /** Default "read-write" with several hosts, else "any". */
  targetSessionAttrs?: TargetSessionAttrs;
  /** "transaction" for PgBouncer in transaction mode: no session state, no named statements. Default "none". */
  pooler?: "none" | "transaction";
  /** Return int8 as numbers instead of strings; default false. */
  int8AsNumber?: boolean;
  /** Repeat a SELECT of Kysely once, outside transactions, when its connection is lost; default true. */
  retryReads?: boolean;
  pool?: PoolOptions;
  timeouts?: TimeoutOptions;
  monitor?: MonitorOptions;
  transactions?: TransactionDefaults;
  fencing?: FencingOptions;
  replicas?: ReplicaOptions;
}

/** Options with every default filled in. */
export type ParsedOptions = Omit<z.output<typeof optionsSchema>, "hosts"> & {
  readonly hosts: readonly Required<HostAddress>[];
  readonly targetSessionAttrs: TargetSessionAttrs;
  /** Resolves the names of hosts. */
  readonly lookup: LookupFunction;
};

/**
 * Checks the options once and fills in the defaults.
 *
 * @throws DatabaseError `db_options_invalid`, naming each path and, for a misspelt key, the nearest right one.
 */
export function parseOptions(input: ResilientDatabaseOptions): ParsedOptions {
  const { connectionString, ...given } = input;
  const merged =
    connectionString === undefined ? given : { ...parseConnectionString(connectionString), ...given };
  const parsed = optionsSchema.safeParse(merged);
  if (!parsed.success) throw invalidOptions(parsed.error);
  const { data } = parsed;
  const hosts = data.hosts.map(toAddress);
  const { pool } = data;
  if (pool.min > pool.size) throw wrongOptions("pool.min is larger than pool.size");
  return {
    ...data,
    hosts,
    targetSessionAttrs: data.targetSessionAttrs ?? (hosts.length > 1 ? "read-write" : "any"),
    lookup: createSharedLookup(),
  };
}

/** How long the client waits for a statement for which nothing else was said; 0 is for ever. */
export function statementDeadlineMs({ timeouts }: ParsedOptions): number {
  return timeouts.statementMs === 0 ? 0 : timeouts.statementMs + timeouts.statementGraceMs;
}

function toAddress(value: z.output<typeof addressSchema>): Required<HostAddress> {
  if (typeof value !== "string" && !value.host.includes("@"))
    return { host: value.host, port: value.port ?? 5432 };
  // Without an @: what stands before it would be a login.
  const match = /^(?:\[([^\]@]+)\]|([^:@]+))(?::(\d{1,5}))?$/.exec(typeof value === "string" ? value : "");
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? 5432);
  if (!host || port < 1 || port > 65_535)
    throw wrongOptions("hosts: expected host, host:port or [address]:port, without a login");
  return { host, port };
}

function invalidOptions(error: z.ZodError): DatabaseError {
  const lines = error.issues.map((issue) => {
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return `${path || "options"}: ${issue.message}`;
    return issue.keys.map((key) => unknownKey(issue.path, key)).join("; ");
  });
  return wrongOptions(lines.join("; "));
}

function unknownKey(path: readonly PropertyKey[], key: string): string {
  const group =
    path.length === 0 ? optionsSchema : optionsSchema.shape[path[0] as keyof typeof optionsSchema.shape];
  const inner = group instanceof z.ZodPrefault ? group.unwrap() : group;
  const known = inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
  const nearest = nearestKey(key, path.length === 0 ? [...known, "connectionString"] : known);
  const hint = nearest === undefined ? "" : `; did you mean ${[...path, nearest].join(".")}?`;
  return `unknown option ${[...path, key].join(".")}${hint}`;
}
