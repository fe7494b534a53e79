import { randomUUID } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { ModeState } from "../mode-state.ts";
import { within } from "../within.ts";
import type { ControlBus } from "./control-bus.ts";
import type { ControlListener } from "./control-listener.ts";
import { type ControlRecord, isSettled, parseScope } from "./control-record.ts";
import type { ControlTiming } from "./control-timing.ts";

/** Dependencies of {@link RecordFollower}. */
export interface RecordFollowerDeps {
  readonly bus: ControlBus;
  readonly replica: string;
  readonly clock: Clock;
  readonly timing: ControlTiming;
  readonly listener: ControlListener;
  /** An override may have ended. */
  readonly onExpiry: () => void;
}

const ACK_WAIT_MS = 1_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * What is stored against what is known here: applies newer records, never older ones, acknowledges what it follows,
 * and puts back what the store lost.
 */
export class RecordFollower {
  readonly #bus: ControlBus;
  readonly #replica: string;
  readonly #clock: Clock;
  readonly #timing: ControlTiming;
  readonly #listener: ControlListener;
  readonly #onExpiry: () => void;
  /** Acknowledgements that the store did not take, by scope. */
  readonly #unheard = new Map<string, ControlRecord>();

  constructor({ bus, replica, clock, timing, listener, onExpiry }: RecordFollowerDeps) {
    this.#bus = bus;
    this.#replica = replica;
    this.#clock = clock;
    this.#timing = timing;
    this.#listener = listener;
    this.#onExpiry = onExpiry;
  }

  /**
   * Reads some scopes and applies what is newer. Resolves with those that could not be read although others could;
   * rejects when none could.
   */
  async readScopes(scopes: readonly string[]): Promise<readonly string[]> {
    const mine = scopes.filter((text) => {
      const scope = parseScope(text);
      return scope !== undefined && this.#listener.stateOf(scope.plugin) !== undefined;
    });
    if (mine.length === 0) return [];
    const asked = mine.map((text) => this.#known(text)?.rev ?? 0);
    const records = await this.#readEach(mine);
    const settled = await Promise.allSettled(
      records.map(async (record, index) => {
        const text = mine[index] ?? "";
        await this.#reconcile(text, (await record)[0], asked[index] ?? 0);
      }),
    );
    const failures = settled.filter((one) => one.status === "rejected");
    if (failures.length === mine.length) throw failures[0]?.reason;
    return mine.filter((_, index) => settled[index]?.status === "rejected");
  }

  /** All in one read; where that is refused, each in its own, so that one bad record does not hide the others. */
  async #readEach(texts: readonly string[]): Promise<Promise<readonly (ControlRecord | undefined)[]>[]> {
    try {
      const records = await this.#bounded(this.#bus.read(texts));
      return texts.map((_, index) => Promise.resolve([records[index]]));
    } catch (error) {
      const late = error instanceof DOMException && error.name === "TimeoutError";
      if (late || texts.length === 1) throw error;
      return texts.map((text) => this.#bounded(this.#bus.read([text])));
    }
  }

  #known(text: string): ControlRecord | undefined {
    const scope = parseScope(text);
    return scope && this.#listener.stateOf(scope.plugin)?.record(scope.tenant);
  }

  /** Clause I3 and the loss of a record: what is stored against what is known here, and was when it was asked for. */
  async #reconcile(text: string, stored: ControlRecord | undefined, askedRev: number): Promise<void> {
    const scope = parseScope(text);
    const state = scope === undefined ? undefined : this.#listener.stateOf(scope.plugin);
    if (scope === undefined || state === undefined) return;
    const known = state.record(scope.tenant);
    if (stored !== undefined && (known === undefined || stored.rev > known.rev)) {
      void this.apply(text, stored);
      return;
    }
    if (known === undefined) return;
    if (stored === undefined || stored.rev < known.rev) {
      // Switched while the answer was on its way: it is old, and nothing is lost.
      if (known.rev > askedRev) return;
      this.#listener.alert("record_lost", `stored rev ${stored?.rev ?? 0}, known here ${known.rev}`, text);
      await this.#putBack(text, known, stored?.rev ?? 0);
    } else if (stored.uuid !== known.uuid) {
      await this.#putBack(text, { ...stored, rev: stored.rev + 1 }, stored.rev);
    }
  }

  async #putBack(text: string, record: ControlRecord, expectedRev: number): Promise<void> {
    const verdict = await this.#bounded(this.#bus.write(text, record, expectedRev));
    if (verdict.written) {
      this.#listener.alert("record_reasserted", `rev ${record.rev}`, text);
      void this.#bus.publish({ scope: text, rev: record.rev }).catch(() => undefined);
    }
    if (verdict.current !== undefined) void this.apply(text, verdict.current);
    if (verdict.written) await this.acknowledge(text, record);
  }

  /**
   * Takes over a record if its `rev` is higher than the known one; then tells the plugin and acknowledges.
   * Resolves after that; the record is in force at once.
   */
  async apply(text: string, record: ControlRecord): Promise<void> {
    const scope = parseScope(text);
    const state = scope === undefined ? undefined : this.#listener.stateOf(scope.plugin);
    if (scope === undefined || state === undefined) return;
    const previous = state.record(scope.tenant);
    if (previous !== undefined && record.rev <= previous.rev) return;
    state.store(scope.tenant, record);
    this.#armExpiry(state, record);
    const told = this.#listener.applied(state, scope.tenant, { previous, record });
    await within(this.#clock, ACK_WAIT_MS, told).catch(() => undefined);
    await this.acknowledge(text, record);
  }

  /** Says that this replica follows a record; a store that does not hear it is told again. */
  async acknowledge(text: string, record: ControlRecord): Promise<void> {
    try {
      await this.#bounded(this.#bus.ack(this.#replica, text, record));
      if (this.#unheard.get(text) === record) this.#unheard.delete(text);
    } catch {
      if ((this.#unheard.get(text)?.rev ?? 0) <= record.rev) this.#unheard.set(text, record);
    }
  }

  /**
   * Says again what the store did not take, lists records that are followed here but not listed there, and takes those
   * off the list of which a tenant's override has ended.
   */
  catchUp(unlisted: readonly string[], listed: Iterable<string>): void {
    for (const [text, record] of this.#unheard) void this.acknowledge(text, record);
    const lost = unlisted.filter((text) => this.#known(text) !== undefined && !this.#ended(text));
    if (lost.length > 0) void this.#bus.list?.(lost).catch(() => undefined);
    const ended = [...listed].filter((text) => this.#ended(text));
    if (ended.length > 0) void this.#bus.unlist?.(ended).catch(() => undefined);
  }

  #ended(text: string): boolean {
    const known = this.#known(text);
    return known !== undefined && isSettled(known) && parseScope(text)?.tenant !== undefined;
  }

  /** With a synchronous bus nobody polls, so the end of an override is looked for when it is due. */
  #armExpiry(state: ModeState, { expiresAt }: ControlRecord): void {
    if (expiresAt === undefined) return;
    const dueIn = Math.max(0, expiresAt - this.#clock.wallNow());
    state.leaseUntil = Math.min(state.leaseUntil, this.#clock.now() + dueIn);
    this.#clock.setTimer(this.#onExpiry, Math.min(dueIn + 1, LONGEST_TIMER_MS), { background: true });
  }

  /**
   * Declares the state of a scope empty: `wipeSeq + 1`, by compare-and-set, so that one replica does it; `cause` names
   * what all replicas do it for, so that one that comes later finds it done.
   */
  async wipe(text: string, known: ControlRecord | undefined, cause?: string): Promise<void> {
    const uuid = cause === undefined ? randomUUID() : `${cause}-wipe`;
    if (known?.uuid === uuid) return;
    const before = known ?? { rev: 0, wipeSeq: 0, mode: "inherit", setBy: "wipe" };
    const record: ControlRecord = { ...before, rev: before.rev + 1, uuid, wipeSeq: before.wipeSeq + 1 };
    const verdict = await this.#bounded(this.#bus.write(text, record, before.rev));
    if (verdict.written) void this.#bus.publish({ scope: text, rev: record.rev }).catch(() => undefined);
    if (verdict.current !== undefined) void this.apply(text, verdict.current);
  }

  /** A replica without the plugin decides nothing with it: whoever waits need not wait for this one. */
  async acknowledgeStranger(text: string): Promise<void> {
    const [record] = await this.#bounded(this.#bus.read([text]));
    if (record !== undefined) await this.acknowledge(text, record);
  }

  #bounded<T>(work: Promise<T>): Promise<T> {
    return within(this.#clock, this.#timing.storeMs, work);
  }
}
