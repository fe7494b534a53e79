import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { ClockTimer } from "../clock.ts";
import { SessionPoolError } from "../errors.ts";
import { NonceMemory } from "./nonce-memory.ts";
import type { OwnershipRedis, OwnershipSubscriber } from "./ownership-redis.ts";
import { catchUpScript, noticeScript } from "./ownership-scripts.ts";
import type { RedisClock } from "./redis-clock.ts";
import { runScript } from "./script.ts";

/** What travels between replicas; session ids are hashed. */
export type Notice =
  | { readonly kind: "session"; readonly session: string; readonly from: string }
  | { readonly kind: "server"; readonly serverId: string; readonly from: string };

/** What a bus is made of. */
export interface NoticeBusParts {
  readonly redis: OwnershipRedis;
  readonly subscriber: OwnershipSubscriber | undefined;
  /** Is told the time with every look. */
  readonly clock: RedisClock;
  readonly prefix: string;
  readonly keys: readonly Uint8Array[];
  readonly pollMs: number;
  readonly maxNotices: number;
  /** How old a notice may be that is believed. */
  readonly maxAgeMs: number;
  readonly maxNonces: number;
  readonly received: (notice: Notice) => void;
  /** Notices fell out of the log before they were read. */
  readonly missed: () => void;
  readonly refused: () => void;
  readonly failed: () => void;
}

/** Longest wait for the subscriber's connection: it has no command timeout, and polling does without it. */
const subscriberWaitMs = 1_000;

/** What is signed: a notice, when it was made, and a name of its own by which its repetition is told. */
interface Wire {
  readonly notice: Notice;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly nonce: string;
}

/**
 * Carries eviction notices to every replica: by message at once, and by a numbered log that is polled, so that a lost
 * message costs one poll at most. The poll brings the time of Redis along. Notices are signed and good once, whatever revision they come under; those that are
 * not are refused and counted. One that is too old for that to be known counts as missed.
 */
export class NoticeBus {
  readonly #parts: NoticeBusParts;
  readonly #channel: string;
  readonly #keys: readonly [string, string];
  /** A connection that was opened anew listens to nothing yet. */
  readonly #onReady = () => {
    this.#subscribing = undefined;
    void this.#subscribe().catch(() => {});
  };
  readonly #onMessage = (channel: string, message: string) => {
    if (channel === this.#channel) this.#take(message);
  };
  /** Highest revision up to which every notice was handled; -1 before the first look. */
  #seen = -1;
  /** Revisions above that, which came by message already. */
  readonly #ahead = new Set<number>();
  #timer: ClockTimer | undefined = undefined;
  /** The first look came after notices may have been missed. */
  #late = false;
  readonly #nonces: NonceMemory;
  /** Set while the subscriber was asked, and since it has answered. */
  #subscribing: Promise<unknown> | undefined = undefined;
  #closed = false;

  constructor(parts: NoticeBusParts) {
    this.#parts = parts;
    this.#nonces = new NonceMemory(2 * parts.maxAgeMs, parts.maxNonces, parts.clock.now());
    this.#channel = `${parts.prefix}:sessions`;
    this.#keys = [`${parts.prefix}:{sessions}:rev`, `${parts.prefix}:{sessions}:log`];
  }

  /** Learns the current revision and begins to listen. Rejects when Redis cannot be reached; both are tried again. */
  async start(): Promise<void> {
    this.#parts.subscriber?.on("message", this.#onMessage);
    this.#parts.subscriber?.on("ready", this.#onReady);
    this.#schedule();
    try {
      await this.#look();
    } catch (cause) {
      this.#late = true;
      throw new SessionPoolError("backend_unavailable", "Redis does not answer", { cause });
    }
  }

  async publish(notice: Notice): Promise<void> {
    const { clock } = this.#parts;
    const wire: Wire = { notice, at: clock.wallNow(), nonce: randomBytes(16).toString("base64url") };
    const text = JSON.stringify(wire);
    const signed = `${this.#mac(text, this.#parts.keys[0] ?? new Uint8Array())} ${text}`;
    const seen = Math.max(this.#seen, 0);
    const args = [signed, this.#channel, seen, this.#parts.maxNotices];
    try {
      await runScript(this.#parts.redis, noticeScript, this.#keys, args);
    } catch (cause) {
      throw new SessionPoolError("backend_unavailable", "Redis does not answer", { cause });
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#parts.subscriber?.off("message", this.#onMessage);
    this.#parts.subscriber?.off("ready", this.#onReady);
    await this.#briefly(this.#parts.subscriber?.unsubscribe(this.#channel)).catch(() => {});
  }

  #schedule(): void {
    if (this.#closed) return;
    const look = () => {
      void this.#look()
        .catch(() => this.#parts.failed())
        .finally(() => this.#schedule());
    };
    this.#timer = this.#parts.clock.setTimer(look, this.#parts.pollMs, true);
  }

  async #look(): Promise<void> {
    await Promise.all([this.#subscribe(), this.#catchUp()]);
  }

  /** Asks once, until that fails; an answer that does not come is not waited for. */
  async #subscribe(): Promise<void> {
    const { subscriber } = this.#parts;
    if (this.#subscribing !== undefined || subscriber === undefined) return;
    const asking = subscriber.subscribe(this.#channel);
    this.#subscribing = asking;
    asking.catch(() => {
      if (this.#subscribing === asking) this.#subscribing = undefined;
    });
    await this.#briefly(asking);
  }

  /** Waits for the subscriber, within a bound. */
  async #briefly(answer: Promise<unknown> | undefined): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = this.#parts.clock.setTimer(late.resolve, subscriberWaitMs, false);
    await Promise.race([answer, late.promise]).finally(() => timer.cancel());
  }

  async #catchUp(): Promise<void> {
    const { redis, clock, missed } = this.#parts;
    const sentMs = clock.now();
    const reply = await runScript(redis, catchUpScript, this.#keys, [this.#seen]);
    const [rev, lines, redisMs] = reply as [number, string[], number];
    clock.learn(redisMs, sentMs);
    if (this.#closed) return;
    if (this.#seen < 0 && this.#late) missed();
    const first = lines[0] === undefined ? rev + 1 : revisionOf(lines[0]);
    if (rev < this.#seen) {
      // The log was lost and began anew; everything in it is new.
      this.#seen = 0;
      this.#ahead.clear();
      missed();
    } else if (this.#seen >= 0 && first > this.#seen + 1) missed();
    for (const line of lines) this.#take(line);
    this.#seen = Math.max(this.#seen, rev);
    for (const ahead of this.#ahead) if (ahead <= this.#seen) this.#ahead.delete(ahead);
  }

  #take(line: string): void {
    const rev = revisionOf(line);
    const text = line.slice(line.indexOf(" ") + 1);
    const signature = text.slice(0, text.indexOf(" "));
    const body = text.slice(signature.length + 1);
    if (
      !Number.isSafeInteger(rev) ||
      !this.#parts.keys.some((key) => same(signature, this.#mac(body, key)))
    ) {
      this.#parts.refused();
      return;
    }
    if (rev <= this.#seen || this.#ahead.has(rev)) return;
    // The poll advances `seen`; a message only marks itself, since one before it may have been lost.
    if (this.#ahead.size < this.#parts.maxNotices) this.#ahead.add(rev);
    const { clock, maxAgeMs, missed, received, refused } = this.#parts;
    const { notice, at, nonce } = JSON.parse(body) as Wire;
    if (Math.abs(clock.wallNow() - at) > maxAgeMs) missed();
    else if (this.#nonces.check(nonce, clock.now()) === "fresh") received(notice);
    else refused();
  }

  #mac(text: string, key: Uint8Array): string {
    return createHmac("sha256", key).update(`notice ${text}`).digest("base64url");
  }
}

function revisionOf(line: string): number {
  return Number(line.slice(0, line.indexOf(" ")));
}

function same(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
