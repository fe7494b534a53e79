import type { Clock } from "../clock.ts";
import { MEMBER_EXPIRY_MS, type WriteVerdict } from "./control-bus.ts";
import {
  type ControlRecord,
  endOf,
  isExpired,
  isSettled,
  parseScope,
  successorOf,
} from "./control-record.ts";

/** Control records, members and acknowledgements in the memory of one process. */
export class RecordStore {
  readonly #clock: Clock;
  readonly #records = new Map<string, ControlRecord>();
  readonly #members = new Map<string, number>();
  /** By scope: which record each replica follows. */
  readonly #acks = new Map<string, Map<string, { readonly rev: number; readonly uuid: string }>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  read(scope: string): ControlRecord | undefined {
    const record = this.#records.get(scope);
    if (record === undefined || !isExpired(record, this.#clock.wallNow())) return record;
    const successor = successorOf(record);
    this.#records.set(scope, successor);
    return successor;
  }

  scopes(): readonly string[] {
    return [...this.#records].flatMap(([scope, record]) =>
      isSettled(record) && parseScope(scope)?.tenant !== undefined ? [] : [scope],
    );
  }

  write(scope: string, record: ControlRecord, expectedRev: number, ttlMs?: number): WriteVerdict {
    const current = this.read(scope);
    if ((current?.rev ?? 0) !== expectedRev) return { written: false, current };
    const stored =
      ttlMs === undefined ? record : { ...record, expiresAt: endOf(this.#clock.wallNow(), ttlMs) };
    this.#records.set(scope, stored);
    return { written: true, current: stored };
  }

  /** Was it a member until now? */
  beat(replica: string): boolean {
    const known = this.members().includes(replica);
    this.#members.set(replica, this.#clock.now());
    return known;
  }

  leave(replica: string): void {
    this.#members.delete(replica);
    for (const acks of this.#acks.values()) acks.delete(replica);
  }

  members(): readonly string[] {
    const oldest = this.#clock.now() - MEMBER_EXPIRY_MS;
    for (const [replica, at] of this.#members) if (at < oldest) this.leave(replica);
    return [...this.#members.keys()];
  }

  ack(replica: string, scope: string, { rev, uuid }: ControlRecord): void {
    let acks = this.#acks.get(scope);
    if (acks === undefined) {
      acks = new Map();
      this.#acks.set(scope, acks);
    }
    if ((acks.get(replica)?.rev ?? 0) <= rev) acks.set(replica, { rev, uuid });
  }

  acks(scope: string, { rev, uuid }: ControlRecord): readonly string[] {
    return [...(this.#acks.get(scope) ?? [])].flatMap(([replica, at]) =>
      at.rev > rev || (at.rev === rev && at.uuid === uuid) ? [replica] : [],
    );
  }
}
