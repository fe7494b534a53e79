import { DatabaseError } from "./errors.ts";
import { nearestKey } from "./nearest-key.ts";
import type { ResilientDatabaseOptions } from "./options.ts";

const known = ["target_session_attrs", "application_name", "sslmode"];
const attributes = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] as const;

/**
 * Reads `postgres://user:password@host1:port1,host2:port2/database?target_session_attrs=…&sslmode=…&application_name=…`,
 * with several hosts as libpq takes them; other parameters are refused.
 *
 * @throws DatabaseError `db_options_invalid`; the message does not repeat the string, which holds a password.
 */
export function parseConnectionString(text: string): ResilientDatabaseOptions {
  const match = /^postgres(?:ql)?:\/\/(?:([^:@/]*)(?::([^@]*))?@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(
    text,
  );
  if (!match) throw invalid("it does not begin like postgres://user:password@host/database");
  const [, user, password, hosts, database, query] = match;
  // Else the rest of a password would pass for a host, a database or a parameter, and be shown as one.
  if (`${hosts}${database ?? ""}${query ?? ""}`.includes("@")) {
    throw invalid("there is more than one @; in a user name, a password or a value it has to be written %40");
  }
  const parameters = new URLSearchParams(query ?? "");
  for (const name of parameters.keys()) if (!known.includes(name)) throw unknownParameter(name);
  const target = attributes.find((name) => name === parameters.get("target_session_attrs"));
  if (parameters.has("target_session_attrs") && !target)
    throw invalid("target_session_attrs has an unknown value");
  const applicationName = parameters.get("application_name");
  const ssl = sslOf(parameters.get("sslmode"));
  return {
    hosts: hosts ? hosts.split(",") : ["localhost"],
    user: user ? decode(user) : "postgres",
    database: database ? decode(database) : user ? decode(user) : "postgres",
    ...(password === undefined ? {} : { password: decode(password) }),
    ...(target ? { targetSessionAttrs: target } : {}),
    ...(applicationName ? { applicationName } : {}),
    ...(ssl === undefined ? {} : { ssl }),
  };
}

function sslOf(mode: string | null): ResilientDatabaseOptions["ssl"] {
  switch (mode) {
    case null:
      return undefined;
    case "disable":
      return false;
    case "require":
      return { rejectUnauthorized: false };
    case "verify-ca":
    case "verify-full":
      return true;
    default:
      throw invalid("sslmode must be disable, require, verify-ca or verify-full");
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid("a percent escape is broken");
  }
}

/** Names the parameter alone: its value may be a secret. */
function unknownParameter(name: string): DatabaseError {
  const nearest = nearestKey(name, known);
  const hint = nearest === undefined ? `known are ${known.join(", ")}` : `did you mean ${nearest}?`;
  return invalid(`unknown parameter ${name}; ${hint}`);
}

function invalid(why: string): DatabaseError {
  return new DatabaseError({
    code: "db_options_invalid",
    class: "client",
    message: `Wrong options: connectionString: ${why}`,
    retryable: false,
    httpStatus: 500,
  });
}
