import type { Clock, Timer } from "../clock.ts";
import type { ModeGate } from "../dispatch/engine.ts";
import type { ModeState } from "../mode-state.ts";
import { within } from "../within.ts";
import type { ControlBus, ControlFrame } from "./control-bus.ts";
import type { ControlListener } from "./control-listener.ts";
import { type ControlRecord, parseScope, scopeText } from "./control-record.ts";
import type { ControlTiming } from "./control-timing.ts";
import { CopyRepair } from "./copy-repair.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import { Membership } from "./membership.ts";
import { PollPlan } from "./poll-plan.ts";
import { RecordFollower } from "./record-follower.ts";
import { SingleFlight } from "./single-flight.ts";
import { Subscription } from "./subscription.ts";

/** Dependencies of {@link ControlPlane}. */
export interface ControlPlaneDeps {
  readonly bus: ControlBus;
  readonly replica: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly timing: ControlTiming;
  readonly listener: ControlListener;
}

const NO_RECORD: ControlRecord = { mode: "inherit", rev: 0, uuid: "none", wipeSeq: 0, setBy: "" };

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
  readonly membership: Membership;
  /** One switch of a scope at a time in this process: only other processes are competitors. */
  readonly turns = new KeyedMutex();
  /** Follows the records. */
  readonly #follower: RecordFollower;
  readonly #plan = new PollPlan();
  readonly #subscription: Subscription;
  readonly #random: () => number;
  readonly #copies: CopyRepair;
  readonly #flights = new SingleFlight();
  #reachable: boolean | undefined;
  /** Plugins of which some record could not be read last time, though others could. */
  #unread: ReadonlySet<string> = new Set();
  #refreshing: Promise<boolean> | undefined;
  #renewAgainAt = Number.NEGATIVE_INFINITY;
  #readAgainAt = Number.NEGATIVE_INFINITY;
  #poll: Timer | undefined;
  #closed = false;

  constructor({ bus, replica, clock, random, timing, listener }: ControlPlaneDeps) {
    this.bus = bus;
    this.replica = replica;
    this.clock = clock;
    this.timing = timing;
    this.listener = listener;
    this.#random = random;
    const onExpiry = () => {
      if (!this.#closed) void this.refresh();
    };
    this.#follower = new RecordFollower({ bus, replica, clock, timing, listener, onExpiry });
    this.#copies = new CopyRepair({
      bus,
      clock,
      timing,
      listener,
      follower: this.#follower,
      flights: this.#flights,
    });
    this.membership = new Membership({ bus, replica, clock, timing });
    this.#subscription = new Subscription({
      bus,
      onFrame: (frame) => this.#onFrame(frame),
      onGap: () => {
        void this.refresh();
        void this.membership.beat();
      },
      alert: (kind, detail) => listener.alert(kind, detail),
    });
  }

  get leaseMs(): number {
    return this.timing.leaseMs;
  }

  /** Could the records of a plugin be read last time? */
  reads({ plugin }: ModeState): boolean {
    return this.#reachable === true && !this.#unread.has(plugin);
  }

  /** Registers, then reads: a switch that did not see this replica among the members is seen by it. */
  async start(): Promise<void> {
    for (const state of this.listener.states()) this.admit(state);
    await this.membership.start();
    await this.#bounded(this.#subscription.ensure()).catch((error) => this.#subscription.failed(error));
    if (await this.refresh()) await this.#acknowledgeNone();
    if (!this.bus.synchronous) this.#schedulePoll();
  }

  /**
   * Says of every plugin without a record that this replica follows "none", so that its first real acknowledgement
   * comes over a way that has been gone before: cold, it takes three times as long.
   */
  async #acknowledgeNone(): Promise<void> {
    if (this.bus.synchronous) return;
    const without = [...this.listener.states()].filter((state) => state.global === undefined);
    await Promise.all(
      without.map(({ plugin }) => this.#follower.acknowledge(scopeText({ plugin }), NO_RECORD)),
    );
  }

  /** A state that has never been read: decide by nothing but the store. */
  admit(state: ModeState): void {
    state.leaseUntil = this.bus.synchronous ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.cancel();
    this.#subscription.close();
    await this.membership.close();
  }

  /** Takes over a record that was written here; resolves when it has been acknowledged. */
  apply(scope: string, record: ControlRecord): Promise<void> {
    return this.#follower.apply(scope, record);
  }

  /** Declares the state of a scope empty. */
  wipe(scope: string, known: ControlRecord | undefined, cause?: string): Promise<void> {
    return this.#follower.wipe(scope, known, cause);
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
      const listed = new Set(await this.#bounded(this.bus.scopes()));
      const known = this.#plan.followed(states);
      const unread = await this.#follower.readScopes([
        ...new Set([...listed, ...known, ...this.#plan.swept(states)]),
      ]);
      this.#unread = new Set(unread.map((text) => parseScope(text)?.plugin ?? ""));
      this.#follower.catchUp(
        known.filter((text) => !listed.has(text)),
        listed,
      );
    } catch (error) {
      this.#noteReachable(false, error);
      return false;
    }
    this.#noteReachable(true, undefined);
    for (const state of states) if (this.reads(state)) this.#extendLease(state, sentAt);
    return true;
  }

  #extendLease(state: ModeState, sentAt: number): void {
    let until = this.bus.synchronous ? Number.POSITIVE_INFINITY : sentAt + this.timing.leaseMs;
    const wallToMonotonic = this.clock.now() - this.clock.wallNow();
    for (const record of [state.global, ...(state.tenants?.values() ?? [])]) {
      if (record?.expiresAt === undefined) continue;
      // Not over by the store's clock, whatever this one says: look again soon.
      const end = Math.max(record.expiresAt + wallToMonotonic, sentAt + this.timing.renewMs);
      until = Math.min(until, end);
    }
    state.leaseUntil = until;
  }

  #noteReachable(now: boolean, error: unknown): void {
    const before = this.#reachable;
    if (before === now) return;
    this.#reachable = now;
    if (!now)
      this.listener.alert("store_unreachable", error instanceof Error ? error.message : String(error));
    // Of a store that has answered from the start there is nothing to tell.
    else if (before === false) this.listener.alert("store_reachable", "the store answers");
    if (now) void this.membership.beat();
  }

  /** ModeGate: a lease has run out. After a failure the next call is not made to wait again at once. */
  async renew(state: ModeState): Promise<boolean> {
    const now = this.clock.now();
    if (now < this.#renewAgainAt) return false;
    if (now < this.#readAgainAt && this.#unread.has(state.plugin)) return false;
    try {
      const renewed = await within(this.clock, this.timing.renewMs, this.refresh());
      if (renewed && this.clock.now() <= state.leaseUntil) return true;
      if (renewed && this.reads(state)) return this.#renewOnce(state);
      if (renewed) {
        this.#readAgainAt = this.clock.now() + this.timing.pollMinMs;
        return false;
      }
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

  noteNewer(state: ModeState, tenant: string | undefined): void {
    this.#copies.noteNewer(state, tenant);
  }

  noteStale(state: ModeState, tenant: string | undefined, absent: boolean): void {
    this.#copies.noteStale(state, tenant, absent);
  }

  #onFrame(frame: ControlFrame): void {
    const scope = parseScope(frame.scope);
    if (scope === undefined) return;
    const state = this.listener.stateOf(scope.plugin);
    if (state === undefined) {
      this.#flights.start(`not here ${frame.scope}`, () => this.#follower.acknowledgeStranger(frame.scope));
      return;
    }
    if ((state.record(scope.tenant)?.rev ?? 0) >= frame.rev) return;
    void this.#follower.readScopes([frame.scope]).catch(() => undefined);
  }

  #schedulePoll(): void {
    if (this.#closed) return;
    const { pollMinMs, pollMaxMs } = this.timing;
    const next = () => {
      void this.#subscription.ensure();
      void this.refresh().then(() => this.#schedulePoll());
    };
    const delayMs = pollMinMs + this.#random() * (pollMaxMs - pollMinMs);
    this.#poll = this.clock.setTimer(next, delayMs, { background: true });
  }

  #bounded<T>(work: Promise<T>): Promise<T> {
    return within(this.clock, this.timing.storeMs, work);
  }
}
