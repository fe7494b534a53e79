import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock, ClockTimer } from "../clock.ts";
import { SessionPoolError } from "../errors.ts";
import type { OwnershipRedis, OwnershipSubscriber } from "./ownership-redis.ts";
import { catchUpScript, noticeScript } from "./ownership-scripts.ts";
import { runScript } from "./script.ts";

/** What travels between replicas; session ids are hashed. */
export type Notice =
  | { readonly kind: "session"; readonly session: string; readonly from: string }
  | { readonly kind: "server"; readonly serverId: string; readonly from: string };

/** What a bus is made of. */
export interface NoticeBusParts {
  readonly redis: OwnershipRedis;
  readonly subscriber: OwnershipSubscriber | undefined;
  readonly clock: Clock;
  readonly prefix: string;
  readonly keys: readonly Uint8Array[];
  readonly pollMs: number;
  readonly maxNotices: number;
  readonly received: (notice: Notice) => void;
  /** Notices fell out of the log before they were read. */
  readonly missed: () => void;
  readonly refused: () => void;
  readonly failed: () => void;
}

/**
 * Carries eviction notices to every replica: by message at once, and by a numbered log that is polled, so that a lost
 * message costs one poll at most. Notices are signed; those that are not are refused and counted.
 */
export class NoticeBus {
  readonly #parts: NoticeBusParts;
  readonly #channel: string;
  readonly #keys: readonly [string, string];
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
  #subscribed = false;
  #closed = false;

  constructor(parts: NoticeBusParts) {
    this.#parts = parts;
    this.#channel = `${parts.prefix}:sessions`;
    this.#keys = [`${parts.prefix}:{sessions}:rev`, `${parts.prefix}:{sessions}:log`];
  }

  /** Learns the current revision and begins to listen. Rejects when Redis cannot be reached; both are tried again. */
  async start(): Promise<void> {
    this.#parts.subscriber?.on("message", this.#onMessage);
    this.#schedule();
    try {
      await this.#look();
    } catch (cause) {
      this.#late = true;
      throw new SessionPoolError("backend_unavailable", "Redis does not answer", { cause });
    }
  }

  async publish(notice: Notice): Promise<void> {
    const text = JSON.stringify(notice);
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
    await this.#parts.subscriber?.unsubscribe(this.#channel).catch(() => {});
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
    if (!this.#subscribed && this.#parts.subscriber !== undefined) {
      await this.#parts.subscriber.subscribe(this.#channel);
      this.#subscribed = true;
    }
    await this.#catchUp();
  }

  async #catchUp(): Promise<void> {
    const { redis, missed } = this.#parts;
    const reply = await runScript(redis, catchUpScript, this.#keys, [this.#seen]);
    const [rev, lines] = reply as [number, string[]];
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
    this.#parts.received(JSON.parse(body) as Notice);
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
