import type { DatabaseConnection, Driver } from "kysely";
import type { LeasedSession } from "../database-session.ts";
import { DatabaseError } from "../errors.ts";
import { ResilientConnection } from "./resilient-driver.ts";

/** A driver that runs everything on one session, for use inside `transaction()` and `withConnection()`. */
export function createSessionDriver(session: LeasedSession): Driver {
  const connection: DatabaseConnection = new ResilientConnection(session, undefined, false);
  const refuse = async () => {
    throw new DatabaseError({
      code: "db_query_invalid",
      class: "client",
      message:
        "This connection belongs to a function of its own: begin and end transactions by transaction().",
      retryable: false,
      httpStatus: 500,
    });
  };
  return {
    init: async () => {},
    acquireConnection: async () => connection,
    releaseConnection: async () => {},
    beginTransaction: refuse,
    commitTransaction: refuse,
    rollbackTransaction: refuse,
    destroy: async () => {},
  };
}
