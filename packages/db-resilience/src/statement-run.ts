import type { QueryResult as DriverResult, QueryConfig } from "pg";
import {
  classifyDbError,
  endsSession,
  isStaleStatement,
  toDatabaseError,
  wasNotCarriedOut,
} from "./classify-db-error.ts";
import type { Clock } from "./clock.ts";
import { startDeadline } from "./deadline.ts";
import { type DatabaseError, TransactionOutcomeUnknown } from "./errors.ts";
import type { QueryOutcome } from "./observer.ts";
import type { QueryResult } from "./query-result.ts";
import { aborted, deadlinePassed, invalidStatement, staleStatement } from "./refusals.ts";
import {
  beginsReadOnly,
  boundsTransaction,
  carriesOutOthers,
  commitsByItself,
  isCommit,
} from "./statement-kind.ts";
import type { Wire } from "./wire.ts";

/** What a statement needs of the connection that it runs on. */
export interface RunContext {
  readonly wire: Wire;
  readonly clock: Clock;
  /** Whether the server takes changes in this session, as far as that was asked for. */
  takesWrites: boolean;
  /** The transaction that is open, if one is, was begun as read-only. */
  readsOnly: boolean;
  taint(reason: string): void;
  /** Gives the connection up, cancelling what runs or not. */
  leave(cancel: boolean): void;
  /** Taints the connection where a statement that was not sent is missing from a transaction. */
  missing(run: StatementRun): void;
  /** Why nothing may be sent on this connection any more, or undefined. */
  refusal(): DatabaseError | undefined;
  /** The statement has ended. */
  ended(run: StatementRun, durationMs: number, outcome: QueryOutcome): void;
}

/** Asked before a statement whether it may be sent; nothing to wait for where it may. */
export type StatementGuard = (text: string) => Promise<void> | undefined;

/** How its caller hears of the end, and when the caller gives up waiting. */
export interface RunCaller {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly guard?: StatementGuard | undefined;
  resolve(result: QueryResult<never>): void;
  reject(error: DatabaseError): void;
}

/** The taint of a connection that did not answer in time, perhaps because the network swallows everything. */
export const deadlineTaint = "a deadline passed";
/** The taint of a connection whose statements may not be in the transaction that they were meant for, or in one that they were not. */
export const boundaryTaint = "a BEGIN, COMMIT or ROLLBACK failed";
/** The taint of a connection in whose transaction a statement is missing, so that its COMMIT would commit only the rest. */
export const missingTaint = "a statement of a transaction was not sent";

/** One statement from when it is asked for to its end, which it has once. */
export class StatementRun {
  readonly #context: RunContext;
  readonly #config: QueryConfig;
  readonly #caller: RunCaller;
  readonly #startMs: number;
  readonly #clearDeadline: () => void;
  readonly #abort = () => this.#giveUp(aborted(this.#caller.signal?.reason), "a statement was aborted");
  #bounds: boolean | undefined;
  #waited = false;
  #sent = false;
  #settled = false;
  /** It ends a transaction. */
  #commit = false;
  /** Its end is a COMMIT. */
  #commits = false;
  /** What the server said before the connection ended tells more than its end. */
  #said: DatabaseError | undefined;

  constructor(context: RunContext, config: QueryConfig, caller: RunCaller) {
    this.#context = context;
    this.#config = config;
    this.#caller = caller;
    this.#startMs = context.clock.monotonic();
    this.#clearDeadline = startDeadline(context.clock, caller.timeoutMs, () =>
      this.#giveUp(deadlinePassed("statement", caller.timeoutMs), deadlineTaint),
    );
    caller.signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** It begins or ends a transaction. */
  get bounds(): boolean {
    this.#bounds ??= boundsTransaction(this.#config.text);
    return this.#bounds;
  }

  /** Its turn is not yet. */
  wait(): void {
    this.#waited = true;
  }

  /** Its turn has come: no other statement is under way, so that the state of the transaction is known. */
  start(): void {
    // What was true when it was asked for may be long ago.
    if (this.#waited) this.#whenAdmitted(() => this.#begin());
    else this.#begin();
  }

  /** Goes on at once where there is nothing to wait for. */
  #whenAdmitted(goOn: () => void): void {
    const asking = this.#caller.guard?.(this.#config.text);
    if (asking === undefined) goOn();
    else
      asking.then(
        () => {
          if (this.#settled) return;
          const refusal = this.#context.refusal();
          if (refusal) this.fail(refusal);
          else goOn();
        },
        (error: unknown) => this.fail(toDatabaseError(error)),
      );
  }

  #begin(): void {
    const { wire } = this.#context;
    const { text, name } = this.#config;
    const known = wire.preparedText(name);
    if (known !== undefined && known !== text) {
      const message = "The name of a prepared statement stands for another text at the database.";
      this.fail(invalidStatement(message, { name }));
      return;
    }
    this.#commit = wire.inTransaction && isCommit(text);
    this.#commits = this.#commit || (!wire.inTransaction && commitsByItself(text));
    this.#context.readsOnly = (wire.inTransaction && this.#context.readsOnly) || beginsReadOnly(text);
    this.#sent = true;
    this.#send();
  }

  /** The connection has ended. */
  lose(error: unknown): void {
    this.fail(this.#said ?? (this.#commits ? new TransactionOutcomeUnknown(error) : toDatabaseError(error)));
  }

  /** Ends it with an error; where a transaction does not begin or end as it should, or lacks it, nothing may follow. */
  fail(error: DatabaseError): void {
    if (!this.#settled && this.bounds) this.#context.taint(boundaryTaint);
    if (!this.#settled && !this.#sent) this.#context.missing(this);
    if (this.#settle(error.code)) this.#caller.reject(error);
  }

  #send(): void {
    const { wire } = this.#context;
    let heard = false;
    const reused = wire.preparedText(this.#config.name) !== undefined;
    wire.send(this.#config, this.#commits, (error, result) => {
      // What was said first stands: where pg fails to write a statement it says so, and then that all is done.
      if (heard || this.#settled) return;
      heard = true;
      if (error) this.#failed(error, reused);
      else this.#succeeded(result);
    });
  }

  #succeeded(result: DriverResult | DriverResult[]): void {
    const { wire } = this.#context;
    if (wire.copies) {
      const refused = copyRefused();
      this.fail(this.#commits ? new TransactionOutcomeUnknown(refused) : refused);
    } else if (wire.unconfirmed) {
      this.#context.taint("waiting for the standby was cancelled");
      this.fail(new TransactionOutcomeUnknown(undefined, { reason: "not confirmed by the standby" }));
    } else if (this.#settle("ok")) {
      // Of several statements in one text the last one's, as libpq does.
      this.#caller.resolve((Array.isArray(result) ? result.at(-1) : result) as unknown as QueryResult<never>);
    }
  }

  #failed(error: Error, reused: boolean): void {
    const { wire, taint, refusal } = this.#context;
    const { name = "", text } = this.#config;
    const doubtful = reused && isStaleStatement(error);
    if (doubtful) wire.forget(name);
    // Only what was certainly not carried out is sent again.
    const stale = doubtful && wasNotCarriedOut(error, name) && !carriesOutOthers(text);
    const failure = stale ? staleStatement(error) : this.#read(error);
    this.#said = failure;
    if (classifyDbError(error).connectionLost || endsSession(error)) wire.lose(error);
    // Outside a transaction it can be prepared anew and sent again: once, since it is not reused then.
    const again = stale && !wire.inTransaction;
    // The server reports the error before it is ready again; only then its transaction status is known.
    wire.whenReady().then((ready) => {
      if (!ready) taint("the server did not become ready after an error");
      if (again && !this.#settled && !refusal()) {
        this.#said = undefined;
        this.#whenAdmitted(() => this.#send());
      } else this.fail(failure);
    });
  }

  #read(error: Error): DatabaseError {
    const { wire, readsOnly, takesWrites } = this.#context;
    const readOnlyByChoice = readsOnly || !takesWrites;
    const failure = toDatabaseError(error, { duringCommit: this.#commits, readOnlyByChoice });
    // An error of pg's own after the server became ready: it has carried out what it was told, and the answer cannot be read.
    const unreadable = wire.status !== undefined && !("severity" in error);
    if (wire.copies && !endsSession(error) && !unreadable) return copyRefused(error);
    const unknown = failure.class === "unknown_outcome" || unreadable;
    return unknown && this.#commits ? new TransactionOutcomeUnknown(error) : failure;
  }

  #giveUp(error: DatabaseError, why: string): void {
    const { taint, leave } = this.#context;
    // One that waits for its turn has not touched the connection.
    if (this.#sent) taint(why);
    this.fail(this.#commits ? new TransactionOutcomeUnknown(error) : error);
    if (this.#sent) leave(!this.#commit);
  }

  #settle(outcome: QueryOutcome): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#clearDeadline();
    this.#caller.signal?.removeEventListener("abort", this.#abort);
    const { clock, ended } = this.#context;
    ended(this, clock.monotonic() - this.#startMs, outcome);
    return true;
  }
}

function copyRefused(cause?: unknown): DatabaseError {
  const message =
    "COPY from or to the client of the database is not supported: insert or read in pages instead.";
  return invalidStatement(message, {}, cause);
}
