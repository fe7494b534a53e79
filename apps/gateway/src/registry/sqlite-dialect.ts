import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { SqliteAdapter, type SqliteDatabase, SqliteDialect, type SqliteStatement } from "kysely";
import { fileTrouble, privateFile } from "../secret/private-file.ts";

/** Where the SQLite file is and how long to wait for another writer. */
export interface SqliteOptions {
  /** Path of the file, or `:memory:`. */
  readonly path: string;
  /** Milliseconds that a statement waits for another process's transaction. */
  readonly busyTimeoutMs: number;
}

/**
 * A Kysely dialect over `node:sqlite`: write-ahead log, foreign keys on, transactions `begin immediate` (a
 * plain `begin` that later writes loses against another writer instead of waiting for it).
 */
export function createSqliteDialect(options: SqliteOptions): {
  dialect: SqliteDialect;
  /** A number that changes when another connection commits to the file. */
  dataVersion(): number;
} {
  const database = open(options);
  const version = database.prepare("PRAGMA data_version");
  return {
    dialect: new TransactionalSqliteDialect({ database: adapt(database) }),
    dataVersion: () => Number(version.get()?.["data_version"] ?? 0),
  };
}

/** SQLite's own, and it says that tables are made in transactions too: then Kysely's Migrator makes one of all. */
class TransactionalSqliteDialect extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new TransactionalSqliteAdapter();
  }
}

class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

/** Opens the file, which only its owner may read: SQLite gives its log and its index the mode of the file. */
function open({ path, busyTimeoutMs }: SqliteOptions): DatabaseSync {
  if (path !== ":memory:")
    for (const part of ["", "-wal", "-shm"]) privateFile(`${path}${part}`, part === "");
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
    return database;
  } catch (cause) {
    database?.close();
    throw fileTrouble(path, "registry", cause);
  }
}

function adapt(database: DatabaseSync): SqliteDatabase {
  return {
    close: () => database.close(),
    prepare: (sql) => statement(database.prepare(sql === "begin" ? "begin immediate" : sql)),
  };
}

function statement(prepared: StatementSync): SqliteStatement {
  return {
    reader: prepared.columns().length > 0,
    all: (parameters) => prepared.all(...bind(parameters)),
    run: (parameters) => prepared.run(...bind(parameters)),
    iterate: (parameters) => prepared.iterate(...bind(parameters)),
  };
}

function bind(parameters: readonly unknown[]): SQLInputValue[] {
  return parameters.map((value) => (typeof value === "boolean" ? Number(value) : (value as SQLInputValue)));
}
