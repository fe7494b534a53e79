import type { Socket } from "node:net";
import { type ClientConfig, types } from "pg";
import type { HostAddress, ParsedOptions } from "./options.ts";

/** What a connection is for; all but those of the pool say so in their application_name. */
export type ConnectionRole = "pool" | "monitor" | "listener";

/**
 * What pg's client is told. Timeouts go into the startup message, so that the server keeps them for the whole
 * session; not behind a pooler, which shares sessions. The socket is ours, so that it can be destroyed.
 */
export function clientConfig(
  address: Required<HostAddress>,
  options: ParsedOptions,
  socket: Socket,
  role: ConnectionRole,
): ClientConfig {
  const { statementMs, lockMs, idleInTransactionMs } = options.timeouts;
  const session =
    options.pooler === "transaction"
      ? {}
      : {
          statement_timeout: statementMs,
          lock_timeout: lockMs,
          idle_in_transaction_session_timeout: idleInTransactionMs,
          // That a COMMIT was not confirmed is said in a warning, which a role's own setting may suppress.
          options: "-c client_min_messages=warning",
        };
  return {
    ...address,
    user: options.user,
    database: options.database,
    password: options.password ?? "",
    ssl: options.ssl === true ? { servername: address.host } : options.ssl,
    application_name: role === "pool" ? options.applicationName : `${options.applicationName}-${role}`,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    stream: () => socket,
    ...session,
    ...(options.int8AsNumber ? { types: { getTypeParser } } : {}),
  };
}

const int8 = 20;
const getTypeParser = ((oid: number, format?: "text" | "binary") =>
  oid === int8 && format !== "binary"
    ? Number
    : types.getTypeParser(oid, format)) as typeof types.getTypeParser;
