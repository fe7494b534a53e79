import {
  type AbortableOperationOptions,
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from "kysely";
import type { LeasedSession } from "../database-session.ts";
import { DatabaseError, TransactionOutcomeUnknown } from "../errors.ts";
import type { SessionProvider } from "../session-provider.ts";
import { selectIsPlain } from "./select-is-plain.ts";

/** Kysely's driver on our sessions. */
export class ResilientDriver implements Driver {
  readonly #provider: SessionProvider;
  readonly #retryReads: boolean;

  constructor(provider: SessionProvider, retryReads: boolean) {
    this.#provider = provider;
    this.#retryReads = retryReads;
  }

  async init(): Promise<void> {}

  async acquireConnection(options?: AbortableOperationOptions): Promise<DatabaseConnection> {
    const session = await this.#provider.acquire({ signal: options?.signal });
    return new ResilientConnection(session, this.#provider, this.#retryReads);
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    (connection as ResilientConnection).release();
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const isolation = settings.isolationLevel ? ` isolation level ${settings.isolationLevel}` : "";
    const access = settings.accessMode ? ` ${settings.accessMode}` : "";
    await (connection as ResilientConnection).begin(`start transaction${isolation}${access}`);
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await (connection as ResilientConnection).commit();
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await (connection as ResilientConnection).rollBack();
  }

  async savepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(`savepoint ${quoted(name)}`));
  }

  async rollbackToSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(`rollback to savepoint ${quoted(name)}`));
  }

  async releaseSavepoint(
    connection: DatabaseConnection,
    name: string,
    _compile: QueryCompiler["compileQuery"],
  ): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(`release savepoint ${quoted(name)}`));
  }

  /** The database is closed by its owner, not by Kysely. */
  async destroy(): Promise<void> {}
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

const changing = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

/** One connection as Kysely sees it. Outside a transaction it may change the session beneath it, once. */
export class ResilientConnection implements DatabaseConnection {
  #session: LeasedSession;
  readonly #provider: SessionProvider | undefined;
  readonly #retryReads: boolean;
  #inTransaction = false;
  #repeated = false;

  constructor(session: LeasedSession, provider: SessionProvider | undefined, retryReads: boolean) {
    this.#session = session;
    this.#provider = provider;
    this.#retryReads = retryReads;
  }

  async executeQuery<R>(query: CompiledQuery, options?: AbortableOperationOptions): Promise<QueryResult<R>> {
    try {
      return await this.#execute<R>(query, options);
    } catch (error) {
      if (!(await this.#changeSession(error, query, options?.signal))) throw error;
      return this.#execute<R>(query, options);
    }
  }

  // biome-ignore lint/correctness/useYield: refuses before the first row
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new DatabaseError({
      code: "db_query_invalid",
      class: "client",
      message: "Streaming is not supported: read in pages instead.",
      retryable: false,
      httpStatus: 500,
    });
  }

  async begin(statement: string): Promise<void> {
    await this.#provider?.begin(this.#session, statement);
    this.#inTransaction = true;
  }

  async commit(): Promise<void> {
    const { command } = await this.#session.query("commit");
    if (command !== "ROLLBACK") return;
    throw new DatabaseError({
      code: "db_query_invalid",
      class: "permanent",
      message:
        "The database rolled the transaction back, because a statement in it had failed and the failure was ignored.",
      retryable: false,
      httpStatus: 500,
    });
  }

  /** Does nothing when there is nothing left to roll back: Kysely also calls it after a COMMIT that failed. */
  async rollBack(): Promise<void> {
    const { connection } = this.#session;
    if (connection.isLost || connection.unusable !== "a transaction is open") return;
    await connection.query("rollback").catch(() => {}); // A connection that fails in this is not used again.
  }

  release(): void {
    this.#provider?.release(this.#session);
  }

  async #execute<R>(query: CompiledQuery, options?: AbortableOperationOptions): Promise<QueryResult<R>> {
    const { signal } = options ?? {};
    const result = await this.#session.query(query.sql, query.parameters, signal ? { signal } : {});
    const { command, rowCount, rows } = result;
    const affected = changing.has(command) ? { numAffectedRows: BigInt(rowCount ?? 0) } : {};
    return { ...affected, rows: (rows ?? []) as R[] };
  }

  async #changeSession(
    error: unknown,
    query: CompiledQuery,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    if (
      !this.#provider ||
      this.#inTransaction ||
      this.#repeated ||
      error instanceof TransactionOutcomeUnknown
    )
      return false;
    const idempotent = this.#retryReads && selectIsPlain(query.query);
    if (!(await this.#provider.mayRepeat(error, this.#session, { signal, idempotent }))) return false;
    this.#repeated = true;
    this.#provider.release(this.#session);
    this.#session = await this.#provider.acquire({ signal });
    return true;
  }
}
