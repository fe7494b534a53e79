import { describe, expect, it } from "vitest";
import { classifyDbError, DatabaseError, TransactionOutcomeUnknown, toDatabaseError } from "../src/index.ts";

const table: [code: string, kind: string, ownCode: string, status: number, retryable: boolean][] = [
  ["08000", "connection", "db_unavailable", 503, true],
  ["08006", "connection", "db_unavailable", 503, true],
  ["08P01", "connection", "db_unavailable", 503, true],
  ["ECONNREFUSED", "connection", "db_unavailable", 503, true],
  ["ECONNRESET", "connection", "db_unavailable", 503, true],
  ["EPIPE", "connection", "db_unavailable", 503, true],
  ["ETIMEDOUT", "connection", "db_unavailable", 503, true],
  ["ENOTFOUND", "connection", "db_unavailable", 503, true],
  ["57P01", "server_going", "db_unavailable", 503, true],
  ["57P02", "server_going", "db_unavailable", 503, true],
  ["57P03", "server_going", "db_unavailable", 503, true],
  ["57P04", "server_going", "db_unavailable", 503, true],
  ["57P05", "server_going", "db_unavailable", 503, true],
  ["53000", "server_fault", "db_unavailable", 503, true],
  ["53100", "server_fault", "db_unavailable", 503, true],
  ["53200", "server_fault", "db_unavailable", 503, true],
  ["58000", "server_fault", "db_unavailable", 503, true],
  ["58030", "server_fault", "db_unavailable", 503, true],
  ["XX001", "server_fault", "db_unavailable", 503, true],
  ["XX002", "server_fault", "db_unavailable", 503, true],
  ["EMFILE", "connection", "db_unavailable", 503, true],
  ["ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "connection", "db_unavailable", 503, true],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "connection", "db_unavailable", 503, true],
  ["53300", "capacity", "pool_exhausted", 503, true],
  ["53400", "capacity", "pool_exhausted", 503, true],
  ["40001", "tx_retry", "tx_conflict", 503, true],
  ["40P01", "tx_retry", "tx_conflict", 503, true],
  ["55P03", "timeout", "db_timeout", 503, true],
  ["25006", "read_only", "db_unavailable", 503, true],
  ["57014", "timeout", "db_timeout", 503, true],
  ["25P03", "timeout", "db_timeout", 503, true],
  ["25P04", "timeout", "db_timeout", 503, true],
  ["40003", "unknown_outcome", "outcome_unknown", 503, false],
  ["08007", "unknown_outcome", "outcome_unknown", 503, false],
  ["22P02", "permanent", "validation_failed", 422, false],
  ["23502", "permanent", "validation_failed", 422, false],
  ["23505", "permanent", "conflict", 409, false],
  ["28P01", "permanent", "db_unavailable", 503, false],
  ["3D000", "permanent", "db_unavailable", 503, false],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "permanent", "db_unavailable", 503, false],
  ["CERT_HAS_EXPIRED", "permanent", "db_unavailable", 503, false],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "permanent", "db_unavailable", 503, false],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "permanent", "db_unavailable", 503, false],
  ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "permanent", "db_unavailable", 503, false],
  ["ERR_SSL_UNSUPPORTED_PROTOCOL", "permanent", "db_unavailable", 503, false],
  ["58P01", "permanent", "db_query_invalid", 500, false],
  ["XX000", "permanent", "db_query_invalid", 500, false],
  ["42601", "permanent", "db_query_invalid", 500, false],
  ["42P01", "permanent", "db_query_invalid", 500, false],
];

describe("classifyDbError", () => {
  it.each(table)("reads %s as %s, %s, %i", (code, kind, ownCode, httpStatus, retryable) => {
    expect(classifyDbError({ code })).toMatchObject({ class: kind, code: ownCode, httpStatus, retryable });
  });

  it("does not take a wrong number of parameters for a broken connection", () => {
    expect(classifyDbError({ code: "08P01", severity: "ERROR" }).class).toBe("permanent");
    expect(classifyDbError({ code: "08P01", severity: "FATAL" }).class).toBe("connection");
  });

  it("keeps the SQLSTATE, but takes no network code for one", () => {
    expect(classifyDbError({ code: "40P01" }).sqlState).toBe("40P01");
    expect(classifyDbError({ code: "EPIPE" }).sqlState).toBeUndefined();
  });

  it("counts a lock that was not available as a conflict on request", () => {
    expect(classifyDbError({ code: "55P03" }, { retryLockTimeout: true }).class).toBe("tx_retry");
  });

  it("takes a lost connection during COMMIT for an unknown outcome, and a refused COMMIT for what it is", () => {
    for (const error of [
      { code: "ECONNRESET" },
      { code: "57P01" },
      new Error("Connection terminated unexpectedly"),
    ]) {
      expect(classifyDbError(error, { duringCommit: true }).class).toBe("unknown_outcome");
    }
    expect(classifyDbError({ code: "40001" }, { duringCommit: true }).class).toBe("tx_retry");
    // The disk of the log is full: an error before the commit is written, a panic while it is.
    const full = (severity: string) => classifyDbError({ code: "53100", severity }, { duringCommit: true });
    expect(full("ERROR").class).toBe("server_fault");
    expect(full("PANIC").class).toBe("unknown_outcome");
    expect(classifyDbError({ code: "53100", severity: "PANIC" }).class).toBe("server_fault");
  });

  it("takes what a pooler refuses before the server has got it for what it is, though it ends the session", () => {
    for (const [code, message, kind] of [
      ["08P01", "query_wait_timeout", "capacity"],
      ["53300", "sorry, too many clients already", "capacity"],
      ["3D000", "no such database", "permanent"],
      ["28P01", "password authentication failed", "permanent"],
    ]) {
      const error = { code, message, severity: "FATAL" };
      expect(classifyDbError(error, { duringCommit: true }).class).toBe(kind);
    }
    expect(classifyDbError({ code: "XX000", severity: "PANIC" }, { duringCommit: true }).class).toBe(
      "unknown_outcome",
    );
  });

  it("reads failures without a code by the driver's and the pooler's texts", () => {
    expect(classifyDbError(new Error("Connection terminated unexpectedly")).class).toBe("connection");
    expect(classifyDbError({ code: "08P01", message: "query_wait_timeout" }).class).toBe("capacity");
    expect(classifyDbError(new Error("The server does not support SSL connections")).misconfigured).toBe(
      true,
    );
  });

  it("looks into the failures of several addresses", () => {
    const error = new AggregateError([Object.assign(new Error("no"), { code: "ECONNREFUSED" })]);
    expect(classifyDbError(error).class).toBe("connection");
  });

  it("takes anything else for a fault of the program", () => {
    for (const error of [new TypeError("x"), undefined, null, "text", {}]) {
      expect(classifyDbError(error)).toMatchObject({ class: "permanent", httpStatus: 500 });
    }
  });

  it("says of its own errors what they say themselves", () => {
    expect(classifyDbError(new TransactionOutcomeUnknown())).toMatchObject({
      class: "unknown_outcome",
      connectionLost: true,
    });
  });
});

describe("DatabaseError", () => {
  it("shows neither host, user, password nor values of the cause", () => {
    const cause = Object.assign(new Error('password "s3cret" of user joe at db.internal refused'), {
      code: "23505",
      constraint: "t_pkey",
      detail: "Key (n)=(s3cret) already exists.",
    });
    const error = toDatabaseError(cause);
    expect(error.details).toEqual({ constraint: "t_pkey" });
    expect(`${error.message} ${JSON.stringify(error)}`).not.toMatch(/s3cret|joe|internal/);
    expect(error.cause).toBe(cause);
    expect(toDatabaseError(error)).toBe(error);
  });

  it("suggests when to come back", () => {
    expect(toDatabaseError({ code: "57P01" }).toJSON()).toEqual({
      code: "db_unavailable",
      message: "The database is unavailable.",
      retryable: true,
      retryAfterMs: 1_000,
    });
  });

  it("is recognised across two copies of the package", () => {
    const foreign = Object.defineProperty(
      new Error("x"),
      Symbol.for("gatewright.db-resilience.DatabaseError"),
      {
        value: true,
      },
    );
    expect(DatabaseError.is(foreign)).toBe(true);
    expect(DatabaseError.is(new Error("x"))).toBe(false);
  });
});
