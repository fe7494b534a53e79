import type { Kysely } from "kysely";
import type { RegistryHealth } from "./registry.ts";
import type { Liveness } from "./running-store.ts";
import type { Tables } from "./tables.ts";

/** How transactions of one request are run. */
export interface SessionTerms {
  readonly token?: string | undefined;
  /** What is done may be done again when its outcome was not heard of: it does nothing twice. */
  readonly repeatable?: boolean | undefined;
}

/** Runs statements: on one connection, all of them or none. */
export interface RegistrySession {
  /** Reads; run again when the connection was lost. */
  read<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T>;
  /** Changes, all of them or none; run again after a conflict with another transaction. */
  change<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T>;
  /** Like `change`, for what is not told to those who listen for changes, and may be done twice. */
  note<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T>;
  /** Token of the last change, where reads may miss one. */
  readonly token: string | undefined;
}

/** What the registry needs of a database; one for each kind. Its failures are {@link GatewayError}s. */
export interface RegistryDatabase extends RegistrySession {
  /** Reads that all see the same moment; changes after it are told. */
  moment<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T>;
  session(terms: SessionTerms): RegistrySession;
  /** How it is known which of the gateways that wrote themselves down still run. */
  readonly liveness: Liveness;
  migrate(): Promise<void>;
  health(): Promise<RegistryHealth>;
  acceptServer(): Promise<void>;
  describe(): Readonly<Record<string, unknown>>;
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}
