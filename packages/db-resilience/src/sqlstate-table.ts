import type { DatabaseErrorClass, DatabaseErrorCode } from "./errors.ts";

/** One row: what a failure means for the caller, the connection and the breaker. */
export interface ErrorRow {
  readonly class: DatabaseErrorClass;
  readonly code: DatabaseErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly httpStatus: number;
  readonly retryAfterMs?: number;
  /** The connection cannot be used any more. */
  readonly connectionLost?: boolean;
  /** Says that the server as a whole is away; opens the breaker when connecting fails with it. */
  readonly serverAway?: boolean;
  /** Wrong credentials or names: only an administrator can help. */
  readonly misconfigured?: boolean;
}

const unavailable = {
  code: "db_unavailable",
  message: "The database is unavailable.",
  retryable: true,
  httpStatus: 503,
  retryAfterMs: 1_000,
} as const;

const connection: ErrorRow = { ...unavailable, class: "connection", connectionLost: true, serverAway: true };
const serverGoing: ErrorRow = {
  ...unavailable,
  class: "server_going",
  connectionLost: true,
  serverAway: true,
};
const capacity: ErrorRow = {
  class: "capacity",
  code: "pool_exhausted",
  message: "The database has no connection to spare.",
  retryable: true,
  httpStatus: 503,
  retryAfterMs: 1_000,
};
/** Refused with an error, so nothing was done: it may succeed once the server has recovered, or on another one. */
const serverFault: ErrorRow = {
  ...unavailable,
  class: "server_fault",
  message:
    "The database cannot do it at the moment: its server lacks disk or memory, or cannot read its files.",
};
const conflict: ErrorRow = {
  class: "tx_retry",
  code: "tx_conflict",
  message: "The database aborted the transaction because of a conflict with another one.",
  retryable: true,
  httpStatus: 503,
  retryAfterMs: 1_000,
};
const readOnly: ErrorRow = {
  ...unavailable,
  class: "read_only",
  message: "The database takes no writes at the moment.",
};
const timeout: ErrorRow = {
  class: "timeout",
  code: "db_timeout",
  message: "The database did not answer in time.",
  retryable: true,
  httpStatus: 503,
  retryAfterMs: 1_000,
};
const sessionTimeout: ErrorRow = { ...timeout, connectionLost: true };
const unknownOutcome: ErrorRow = {
  class: "unknown_outcome",
  code: "outcome_unknown",
  message: "It is not known whether the database carried out the statement.",
  retryable: false,
  httpStatus: 503,
  connectionLost: true,
};
const permanent = { class: "permanent", retryable: false } as const;
const uniqueness: ErrorRow = {
  ...permanent,
  code: "conflict",
  message: "The database already holds something that excludes this change.",
  httpStatus: 409,
};
const invalidValue: ErrorRow = {
  ...permanent,
  code: "validation_failed",
  message: "The database does not accept a value.",
  httpStatus: 422,
};
const misconfigured: ErrorRow = {
  ...unavailable,
  ...permanent,
  message: "The database refuses the configured login or does not exist.",
  misconfigured: true,
  serverAway: true,
};

const untrusted: ErrorRow = {
  ...misconfigured,
  message: "The configured certificates allow no trusted connection to the database.",
};

/** A failure that no row names: a fault in the statement or in the program. */
export const invalidQuery: ErrorRow = {
  ...permanent,
  code: "db_query_invalid",
  message: "The database does not accept the statement.",
  httpStatus: 500,
};

/** SQLSTATE → row; five characters first, then the class (two). Source: PostgreSQL, Appendix A. */
export const sqlStateRows: Readonly<Record<string, ErrorRow>> = {
  "08": connection,
  "08P01": connection, // query_wait_timeout of PgBouncer is told apart by its text.
  "08007": unknownOutcome,
  "57P01": serverGoing,
  "57P02": serverGoing,
  "57P03": serverGoing,
  "57P04": serverGoing, // The next connection says that the database does not exist.
  "57P05": serverGoing,
  "53": serverFault,
  "53300": capacity,
  "53400": capacity,
  "40001": conflict,
  "40P01": conflict,
  "40003": unknownOutcome,
  "25006": readOnly,
  "55P03": timeout, // lock_timeout or NOWAIT; tx_retry on request.
  "57014": timeout,
  "25P03": sessionTimeout,
  "25P04": sessionTimeout,
  "58000": serverFault,
  "58030": serverFault,
  XX001: serverFault, // Damaged pages: nothing that a caller could change.
  XX002: serverFault,
  "22": invalidValue,
  "23": invalidValue,
  "23505": uniqueness,
  "23503": uniqueness,
  "23P01": uniqueness,
  "28": misconfigured,
  "3D000": misconfigured,
  "42501": invalidQuery,
};

/** `code` of Node's network errors and of refused certificates → row. */
export const networkRows: Readonly<Record<string, ErrorRow>> = Object.fromEntries([
  ...[
    ...["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH"],
    ...["ENETUNREACH", "ECONNABORTED", "EADDRNOTAVAIL", "ENETDOWN", "EHOSTDOWN", "ERR_STREAM_DESTROYED"],
    ...["EMFILE", "ENFILE"],
    // What has answered does not speak TLS, or not any more: a proxy without a server, a line that mixes things up.
    "ERR_SSL_WRONG_VERSION_NUMBER",
  ].map((code) => [code, connection]),
  ...[
    // X509_V_ERR_* of OpenSSL, as Node names them.
    ...["DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
    ...["UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_GET_CRL"],
    ...["UNABLE_TO_DECRYPT_CERT_SIGNATURE", "UNABLE_TO_DECRYPT_CRL_SIGNATURE", "CRL_SIGNATURE_FAILURE"],
    ...["UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY", "CERT_SIGNATURE_FAILURE", "CERT_CHAIN_TOO_LONG"],
    ...["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID", "CRL_HAS_EXPIRED", "CRL_NOT_YET_VALID", "CERT_REVOKED"],
    ...["ERROR_IN_CERT_NOT_BEFORE_FIELD", "ERROR_IN_CERT_NOT_AFTER_FIELD", "CERT_UNTRUSTED", "CERT_REJECTED"],
    ...["ERROR_IN_CRL_LAST_UPDATE_FIELD", "ERROR_IN_CRL_NEXT_UPDATE_FIELD", "INVALID_CA", "INVALID_PURPOSE"],
    ...["PATH_LENGTH_EXCEEDED", "HOSTNAME_MISMATCH", "ERR_TLS_CERT_ALTNAME_INVALID"],
  ].map((code) => [code, untrusted]),
]);

/** The rest of TLS: the two sides agree on nothing, the server refuses our certificate, or the line is broken. */
export const tlsRows: readonly { readonly pattern: RegExp; readonly row: ErrorRow }[] = [
  { pattern: /^ERR_(SSL|OSSL|TLS)_.*(CERT|UNKNOWN_CA|VERSION|PROTOCOL|CIPHER|HANDSHAKE)/, row: untrusted },
  { pattern: /^ERR_(SSL|OSSL|TLS)_/, row: connection },
];

/**
 * Texts of failures that carry no code: the driver's own, and PgBouncer's, which share one SQLSTATE.
 * The only place where this package reads a message.
 */
export const textRows: readonly { readonly pattern: RegExp; readonly row: ErrorRow }[] = [
  { pattern: /query_wait_timeout/, row: capacity },
  { pattern: /no more connections allowed|too many clients/i, row: capacity },
  { pattern: /^Connection terminated/i, row: connection },
  {
    pattern: /^(Client has encountered a connection error|Client was closed|Client has already)/,
    row: connection,
  },
  {
    pattern: /timeout expired|server conn crashed|pgbouncer cannot connect|server closed the connection/i,
    row: connection,
  },
  { pattern: /The server does not support SSL|certificate|^SSL|SASL/i, row: misconfigured },
];

/** For 55P03 when lock waits count as conflicts. */
export const conflictRow = conflict;
/** For a loss of the connection while COMMIT was on its way. */
export const unknownOutcomeRow = unknownOutcome;
