import { randomUUID } from "node:crypto";
import type { Keys } from "./keys.ts";
import type { RedisClient } from "./redis-client.ts";
import { runScript } from "./run-script.ts";
import { sweepKeepScript, sweepTurnScript } from "./script.ts";

/** After this long the turn of a sweeper that died is free. */
const LOCK_MS = 10_000;
/** What waited for a sweeper that died is forgotten after this long; the dead keys end by their lifetime. */
const ASKED_MS = 3_600_000;
const MOST_ASKED = 1_000;
const ALL = "*";

/** What to sweep: the keys of one tenant, or undefined for all. */
type Scope = string | undefined;

/** The right to sweep, which one replica has at a time; requests made meanwhile fall to it. */
export class SweepTurn {
  readonly #client: RedisClient;
  readonly #keys: readonly [lock: string, asked: string];
  readonly #token = randomUUID();

  constructor(client: RedisClient, keys: Keys) {
    this.#client = client;
    this.#keys = [keys.sweepLock(), keys.sweepsAsked()];
  }

  /** Asks for sweeps. Resolves with what this replica is to sweep: nothing when another is at it. */
  ask(scopes: readonly Scope[]): Promise<Scope[]> {
    return this.#turn(...scopes.map((tenant) => (tenant === undefined ? ALL : `t${tenant}`)));
  }

  /** What was asked for since. Nothing: the turn has ended. */
  next(): Promise<Scope[]> {
    return this.#turn();
  }

  /** To be called after each batch. False: the turn was lost, another may be at it. */
  async keep(): Promise<boolean> {
    return (await this.#keep(LOCK_MS)) === 1;
  }

  /** Ends the turn before its work is done. */
  async end(): Promise<void> {
    await this.#keep(0);
  }

  async #turn(...scopes: string[]): Promise<Scope[]> {
    const args = [...this.#keys, this.#token, LOCK_MS, ASKED_MS, MOST_ASKED, ...scopes];
    const asked = await runScript(this.#client, sweepTurnScript, 2, args);
    return (asked as Uint8Array[]).map(String).map((name) => (name === ALL ? undefined : name.slice(1)));
  }

  #keep(lockMs: number): Promise<unknown> {
    return runScript(this.#client, sweepKeepScript, 1, [this.#keys[0], this.#token, lockMs]);
  }
}
