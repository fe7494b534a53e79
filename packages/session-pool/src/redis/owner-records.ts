import { createHash, createHmac } from "node:crypto";
import { SessionPoolError } from "../errors.ts";
import type { ResolvedOwnershipOptions } from "./ownership-options.ts";
import type { OwnershipRedis } from "./ownership-redis.ts";
import {
  announceScript,
  beatScript,
  claimScript,
  endScript,
  leaveScript,
  readScript,
  reclaimScript,
  releaseScript,
  whereScript,
} from "./ownership-scripts.ts";
import { runScript, type Script } from "./script.ts";

/** An owner record as it was read. */
export interface OwnerRecord {
  /** Instance UUID; empty when released. */
  readonly owner: string;
  readonly url: string;
  readonly principal: string;
  readonly epoch: number;
  /** Age of the last beat by the clock of Redis. */
  readonly ageMs: number;
}

/** Reply of a reclaim. */
export type ReclaimReply =
  | readonly ["won", epoch: number, sealed: string]
  | readonly ["alive", leftMs: number]
  | readonly ["lost" | "foreign" | "unknown"];

/** Reply of a beat. */
export type BeatReply = "lost" | "alive" | "missing" | "ended";

/** In the order of the script's numbers. */
const beatReplies: readonly BeatReply[] = ["lost", "alive", "missing", "ended"];

/** The owner records in Redis, as one replica reads and writes them. Rejects with `backend_unavailable`. */
export class OwnerRecords {
  readonly #redis: OwnershipRedis;
  readonly #options: ResolvedOwnershipOptions;
  readonly #instanceId: string;

  constructor(redis: OwnershipRedis, options: ResolvedOwnershipOptions, instanceId: string) {
    this.#redis = redis;
    this.#options = options;
    this.#instanceId = instanceId;
  }

  /** The epoch, or 0 when the session has a record already. */
  async claim(session: string, principal: string, sealed: string): Promise<number> {
    const { advertiseUrl, sessionTtlMs } = this.#options;
    const args = [this.#instanceId, advertiseUrl, principal, sessionTtlMs, sealed];
    return Number(await this.#ofSession(claimScript, session, args));
  }

  async read(session: string): Promise<OwnerRecord | undefined> {
    const reply = (await this.#ofSession(readScript, session, [])) as
      | [string, string, string, number, number]
      | null;
    if (reply === null) return undefined;
    const [owner, url, principal, epoch, ageMs] = reply;
    return { owner, url, principal, epoch, ageMs };
  }

  /**
   * `missing` when Redis has lost the record: it is made anew only by a beat that brings what is `sealed`, which is empty
   * for no change. `ended` when somebody ended the session, `lost` when another replica owns it.
   */
  async beat(
    session: string,
    { epoch, principal, rev }: { readonly epoch: number; readonly principal: string; readonly rev: number },
    sealed: string,
  ): Promise<BeatReply> {
    const { advertiseUrl, sessionTtlMs } = this.#options;
    const args = [this.#instanceId, epoch, sessionTtlMs, sealed, rev, advertiseUrl, principal];
    const reply = await this.#ofSession(beatScript, session, args);
    return beatReplies[Number(reply)] ?? "lost";
  }

  async reclaim(
    session: string,
    principal: string,
    seen: { owner: string; epoch: number },
  ): Promise<ReclaimReply> {
    const { advertiseUrl, deadAfterMs, sessionTtlMs } = this.#options;
    const args = [
      this.#instanceId,
      advertiseUrl,
      principal,
      seen.owner,
      seen.epoch,
      deadAfterMs,
      sessionTtlMs,
    ];
    return (await this.#ofSession(reclaimScript, session, args)) as ReclaimReply;
  }

  /** False when there is no record, or it is another's. */
  async release(session: string, epoch: number): Promise<boolean> {
    return (await this.#ofSession(releaseScript, session, [this.#instanceId, epoch])) === 1;
  }

  async end(session: string, principal: string): Promise<"ended" | "foreign" | "unknown"> {
    const reply = await this.#ofSession(endScript, session, [principal, this.#options.sessionTtlMs]);
    return reply as "ended" | "foreign" | "unknown";
  }

  /** Says where this instance can be reached. */
  async announce(): Promise<void> {
    const { advertiseUrl, deadAfterMs } = this.#options;
    await this.#ofInstance(announceScript, this.#instanceId, [advertiseUrl, deadAfterMs]);
  }

  /** Where an instance can be reached; `undefined` when it is dead or has left. */
  async where(instanceId: string): Promise<string | undefined> {
    return ((await this.#ofInstance(whereScript, instanceId, [])) as string | null) ?? undefined;
  }

  async leave(): Promise<void> {
    await this.#ofInstance(leaveScript, this.#instanceId, []);
  }

  #ofSession(script: Script, session: string, args: readonly (string | number)[]): Promise<unknown> {
    return this.#run(script, `${this.#options.prefix}:{s:${session}}:owner`, args);
  }

  #ofInstance(script: Script, instanceId: string, args: readonly (string | number)[]): Promise<unknown> {
    return this.#run(script, `${this.#options.prefix}:{i:${instanceId}}:url`, args);
  }

  async #run(script: Script, key: string, args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await runScript(this.#redis, script, [key], args);
    } catch (cause) {
      throw new SessionPoolError("backend_unavailable", "Redis does not answer", { cause });
    }
  }
}

/** Session ids are bearer secrets with 128 random bits or more: a plain hash hides them. */
export function sessionHash(sessionId: string): string {
  return createHash("sha256").update(`session ${sessionId}`).digest("base64url");
}

/** Principals can be guessed, so their hash is keyed: with the session id, which whoever reads Redis does not have. */
export function principalHash(sessionId: string, principal: string): string {
  return createHmac("sha256", sessionId).update(`principal ${principal}`).digest("base64url");
}
