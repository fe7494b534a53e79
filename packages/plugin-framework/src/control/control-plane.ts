import { randomUUID } from "node:crypto";
import type { Clock, Timer } from "../clock.ts";
import type { ModeGate } from "../dispatch/engine.ts";
import type { Mode } from "../mode.ts";
import type { ModeState } from "../mode-state.ts";
import type { ControlAlert } from "../observer.ts";
import { pause, within } from "../within.ts";
import { type ControlBus, type ControlFrame, HEARTBEAT_MS } from "./control-bus.ts";
import { type ControlRecord, parseScope, scopeText } from "./control-record.ts";

/** What the control plane tells its pipeline. */
export interface ControlListener {
  /** The state of a plugin, created when it is not known yet; undefined: not a plugin of this pipeline. */
  stateOf(plugin: string): ModeState | undefined;
  states(): Iterable<ModeState>;
  /** A newer record is in force here; resolves when the plugin has been told. */
  applied(state: ModeState, tenant: string | undefined, change: AppliedRecord): Promise<void>;
  alert(kind: ControlAlert["kind"], detail: string, scope?: string): void;
}

/** A record that has just replaced another one. */
export interface AppliedRecord {
  readonly previous: ControlRecord | undefined;
  readonly record: ControlRecord;
}

/** Timing of the control plane; milliseconds. */
export interface ControlTiming {
  readonly leaseMs: number;
  readonly pollMinMs: number;
  readonly pollMaxMs: number;
  /** Bound of the read that a call with an expired lease waits for. */
  readonly renewMs: number;
  /** Bound of every other access to the store. */
  readonly storeMs: number;
}

/** Clauses I2 and I6: lease 1 s, poll every 250–500 ms, one read of at most 50 ms on expiry. */
export const DEFAULT_TIMING: ControlTiming = {
  leaseMs: 1_000,
  pollMinMs: 250,
  pollMaxMs: 500,
  renewMs: 50,
  storeMs: 1_000,
};

/** Dependencies of {@link ControlPlane}. */
export interface ControlPlaneDeps {
  readonly bus: ControlBus;
  readonly replica: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly timing: ControlTiming;
  readonly listener: ControlListener;
}

const ACK_WAIT_MS = 1_000;

/**
 * Keeps this process's modes up to the control records: reads them on every frame, on a jittered poll and when a
 * lease has run out; never applies a lower `rev`; puts back what the store lost.
 */
export class ControlPlane implements ModeGate {
  readonly bus: ControlBus;
  readonly replica: string;
  readonly clock: Clock;
  readonly timing: ControlTiming;
  readonly listener: ControlListener;
  readonly #random: () => number;
  readonly #turns = new Map<string, Promise<void>>();
  readonly #noticed = new Set<string>();
  #reachable: boolean | undefined;
  #refreshing: Promise<boolean> | undefined;
  #renewAgainAt = Number.NEGATIVE_INFINITY;
  #poll: Timer | undefined;
  #beat: Timer | undefined;
  #unsubscribe: (() => void) | undefined;
  #subscribing = false;
  #closed = false;

  constructor({ bus, replica, clock, random, timing, listener }: ControlPlaneDeps) {
    this.bus = bus;
    this.replica = replica;
    this.clock = clock;
    this.timing = timing;
    this.listener = listener;
    this.#random = random;
  }

  get leaseMs(): number {
    return this.timing.leaseMs;
  }

  /** Could the store be read last time? */
  get reachable(): boolean {
    return this.#reachable === true;
  }

  /** Registers, then reads: a switch that did not see this replica among the members is seen by it. */
  async start(): Promise<void> {
    for (const state of this.listener.states()) this.admit(state);
    await this.#beatOnce();
    await this.#subscribe();
    await this.refresh();
    this.#scheduleBeat();
    if (!this.bus.synchronous) this.#schedulePoll();
  }

  /** A state that has never been read: decide by nothing but the store. */
  admit(state: ModeState): void {
    state.leaseUntil = this.bus.synchronous ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.cancel();
    this.#beat?.cancel();
    this.#unsubscribe?.();
    await this.#bounded(this.bus.leave(this.replica)).catch(() => undefined);
  }

  /** One read of every record; true when it succeeded. Callers at the same time share it. */
  refresh(): Promise<boolean> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh(): Promise<boolean> {
    const sentAt = this.clock.now();
    const states = [...this.listener.states()];
    try {
      const scopes = new Set(await this.#bounded(this.bus.scopes()));
      for (const state of states) {
        scopes.add(scopeText({ plugin: state.plugin }));
        for (const tenant of state.tenants?.keys() ?? [])
          scopes.add(scopeText({ plugin: state.plugin, tenant }));
      }
      await this.readScopes([...scopes]);
    } catch (error) {
      this.#noteReachable(false, error);
      return false;
    }
    this.#noteReachable(true, undefined);
    for (const state of states) this.#extendLease(state, sentAt);
    if (this.#unsubscribe === undefined) await this.#subscribe();
    return true;
  }

  #extendLease(state: ModeState, sentAt: number): void {
    let until = this.bus.synchronous ? Number.POSITIVE_INFINITY : sentAt + this.timing.leaseMs;
    const wallToMonotonic = this.clock.now() - this.clock.wallNow();
    for (const record of [state.global, ...(state.tenants?.values() ?? [])]) {
      if (record?.expiresAt === undefined) continue;
      until = Math.min(until, record.expiresAt + wallToMonotonic);
    }
    state.leaseUntil = until;
  }

  #noteReachable(now: boolean, error: unknown): void {
    if (this.#reachable === now) return;
    this.#reachable = now;
    const detail = error instanceof Error ? error.message : now ? "the store answers" : String(error);
    this.listener.alert(now ? "store_reachable" : "store_unreachable", detail);
  }

  /** Reads some scopes and applies what is newer. */
  async readScopes(scopes: readonly string[]): Promise<void> {
    const mine = scopes.filter((text) => {
      const scope = parseScope(text);
      return scope !== undefined && this.listener.stateOf(scope.plugin) !== undefined;
    });
    if (mine.length === 0) return;
    const records = await this.#bounded(this.bus.read(mine));
    await Promise.all(mine.map((scope, index) => this.#reconcile(scope, records[index])));
  }

  /** Clause I3 and the loss of a record: what is stored against what is known here. */
  async #reconcile(text: string, stored: ControlRecord | undefined): Promise<void> {
    const scope = parseScope(text);
    const state = scope === undefined ? undefined : this.listener.stateOf(scope.plugin);
    if (scope === undefined || state === undefined) return;
    const known = state.record(scope.tenant);
    if (stored !== undefined && (known === undefined || stored.rev > known.rev)) {
      void this.apply(text, stored);
      return;
    }
    if (known === undefined) return;
    if (stored === undefined || stored.rev < known.rev) {
      this.listener.alert("record_lost", `stored rev ${stored?.rev ?? 0}, known here ${known.rev}`, text);
      await this.#putBack(text, known, stored?.rev ?? 0);
    } else if (stored.uuid !== known.uuid) {
      await this.#putBack(text, { ...stored, rev: stored.rev + 1 }, stored.rev);
    }
  }

  async #putBack(text: string, record: ControlRecord, expectedRev: number): Promise<void> {
    const verdict = await this.#bounded(this.bus.write(text, record, expectedRev));
    if (verdict.written) {
      this.listener.alert("record_reasserted", `rev ${record.rev}`, text);
      void this.bus.publish({ scope: text, rev: record.rev }).catch(() => undefined);
    }
    if (verdict.current !== undefined) void this.apply(text, verdict.current);
    if (verdict.written) await this.#acknowledge(text, record);
  }

  /**
   * Takes over a record if its `rev` is higher than the known one; then tells the plugin and acknowledges.
   * Resolves after that; the record is in force at once.
   */
  async apply(text: string, record: ControlRecord): Promise<void> {
    const scope = parseScope(text);
    const state = scope === undefined ? undefined : this.listener.stateOf(scope.plugin);
    if (scope === undefined || state === undefined) return;
    const previous = state.record(scope.tenant);
    if (previous !== undefined && record.rev <= previous.rev) return;
    state.store(scope.tenant, record);
    this.#armExpiry(state, record);
    const told = this.listener.applied(state, scope.tenant, { previous, record });
    await within(this.clock, ACK_WAIT_MS, told).catch(() => undefined);
    await this.#acknowledge(text, record);
  }

  async #acknowledge(text: string, record: ControlRecord): Promise<void> {
    await this.#bounded(this.bus.ack(this.replica, text, record)).catch(() => undefined);
  }

  /** With a synchronous bus nobody polls, so the end of an override is looked for when it is due. */
  #armExpiry(state: ModeState, record: ControlRecord): void {
    if (record.expiresAt === undefined) return;
    const dueIn = record.expiresAt - this.clock.wallNow();
    state.leaseUntil = Math.min(state.leaseUntil, this.clock.now() + dueIn);
    const look = () => {
      if (this.#closed || state.record(undefined)?.rev === undefined) return;
      void this.refresh();
    };
    this.clock.setTimer(look, Math.min(Math.max(dueIn, 0) + 1, 2 ** 31 - 1), { background: true });
  }

  /** ModeGate: a lease has run out. After a failure the next call is not made to wait again at once. */
  async renew(state: ModeState): Promise<boolean> {
    const now = this.clock.now();
    if (now < this.#renewAgainAt) return false;
    try {
      const renewed = await within(this.clock, this.timing.renewMs, this.refresh());
      if (renewed && this.clock.now() <= state.leaseUntil) return true;
      if (renewed) return this.#renewOnce(state);
    } catch {
      // Too slow: as good as unreadable.
    }
    this.#renewAgainAt = this.clock.now() + this.timing.pollMinMs;
    return false;
  }

  /** The shared read had been sent too long ago (this process was paused): one of our own. */
  async #renewOnce(state: ModeState): Promise<boolean> {
    try {
      await within(this.clock, this.timing.renewMs, this.refresh());
    } catch {
      return false;
    }
    return this.clock.now() <= state.leaseUntil;
  }

  /** Declares the state of a scope empty: `wipeSeq + 1`, by compare-and-set, so that one replica does it. */
  async wipe(text: string, known: ControlRecord | undefined): Promise<void> {
    const { rev, wipeSeq, mode, setBy } = known ?? { rev: 0, wipeSeq: 0, mode: "inherit", setBy: "wipe" };
    const uuid = randomUUID();
    const record: ControlRecord = { mode, rev: rev + 1, uuid, wipeSeq: wipeSeq + 1, setBy };
    const verdict = await this.#bounded(this.bus.write(text, record, rev));
    if (verdict.written) void this.bus.publish({ scope: text, rev: record.rev }).catch(() => undefined);
    if (verdict.current !== undefined) void this.apply(text, verdict.current);
  }

  noteNewer(state: ModeState, tenant: string | undefined): void {
    const scope = scopeText({ plugin: state.plugin, ...(tenant === undefined ? {} : { tenant }) });
    this.#once(`new ${scope}`, () => this.readScopes([scope]));
  }

  /** While a switch is being written, a copy may lag for a moment; it is looked at again before it is repaired. */
  noteStale(state: ModeState, tenant: string | undefined): void {
    const scope = scopeText({ plugin: state.plugin, ...(tenant === undefined ? {} : { tenant }) });
    this.#once(`old ${scope}`, async () => {
      await this.readScopes([scope]);
      await pause(this.clock, this.timing.pollMinMs, true);
      await this.bus.repair?.(scope);
    });
  }

  /** Many calls may notice the same thing: one of them is enough. */
  #once(name: string, work: () => Promise<void>): void {
    if (this.#noticed.has(name)) return;
    this.#noticed.add(name);
    void work()
      .catch(() => undefined)
      .finally(() => this.#noticed.delete(name));
  }

  /** One switch of a scope at a time in this process: only other processes are competitors. */
  async inTurn<T>(scope: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(scope) ?? Promise.resolve()).then(work);
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(scope, settled);
    void settled.then(() => {
      if (this.#turns.get(scope) === settled) this.#turns.delete(scope);
    });
    return turn;
  }

  #onFrame(frame: ControlFrame): void {
    const scope = parseScope(frame.scope);
    if (scope === undefined) return;
    const state = this.listener.stateOf(scope.plugin);
    if (state === undefined) {
      this.#once(`not here ${frame.scope}`, () => this.#acknowledgeStranger(frame.scope));
      return;
    }
    if ((state.record(scope.tenant)?.rev ?? 0) >= frame.rev) return;
    void this.readScopes([frame.scope]).catch(() => undefined);
  }

  /** A replica without the plugin decides nothing with it: whoever waits need not wait for this one. */
  async #acknowledgeStranger(text: string): Promise<void> {
    const [record] = await this.#bounded(this.bus.read([text]));
    if (record !== undefined) await this.#acknowledge(text, record);
  }

  async #subscribe(): Promise<void> {
    if (this.#subscribing || this.#closed) return;
    this.#subscribing = true;
    try {
      const subscribed = this.bus.subscribe(
        (frame) => this.#onFrame(frame),
        () => void this.refresh(),
      );
      const stop = await this.#bounded(subscribed);
      if (this.#closed) stop();
      else this.#unsubscribe = stop;
    } catch {
      // The poll tries again.
    } finally {
      this.#subscribing = false;
    }
  }

  async #beatOnce(): Promise<void> {
    await this.#bounded(this.bus.beat(this.replica)).catch(() => undefined);
  }

  #scheduleBeat(): void {
    if (this.#closed) return;
    const next = () => void this.#beatOnce().then(() => this.#scheduleBeat());
    this.#beat = this.clock.setTimer(next, HEARTBEAT_MS, { background: true });
  }

  #schedulePoll(): void {
    if (this.#closed) return;
    const { pollMinMs, pollMaxMs } = this.timing;
    const next = () => void this.refresh().then(() => this.#schedulePoll());
    const delayMs = pollMinMs + this.#random() * (pollMaxMs - pollMinMs);
    this.#poll = this.clock.setTimer(next, delayMs, { background: true });
  }

  #bounded<T>(work: Promise<T>): Promise<T> {
    return within(this.clock, this.timing.storeMs, work);
  }
}

/** The mode that a record puts in force, given what it inherits. */
export function modeUnder(record: ControlRecord | undefined, inherited: Mode): Mode {
  return record === undefined || record.mode === "inherit" ? inherited : record.mode;
}
