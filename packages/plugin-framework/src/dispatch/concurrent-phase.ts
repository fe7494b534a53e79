import type { Admission, Slot } from "./chain.ts";
import type { HandlerCall } from "./handler-call.ts";
import { invoke, type Walk } from "./invocation.ts";
import { recordPassedOver } from "./result.ts";

/** The run of a chain, as far as its concurrent phase is concerned with it. */
export interface ConcurrentWalk extends Walk {
  admit(slot: Slot): Admission;
  newCall(slot: Slot): HandlerCall;
}

/**
 * The handlers of a chain that run at the same time. None begins before all are admitted; the first that blocks or fails
 * ends the others.
 */
export class ConcurrentPhase {
  readonly #walk: ConcurrentWalk;
  readonly #calls: HandlerCall[] = [];
  #next = 0;
  #pending = 0;
  #begun = false;

  constructor(walk: ConcurrentWalk) {
    this.#walk = walk;
  }

  /** True when all are done, false while a promise is waited for. */
  advance(slots: readonly Slot[]): boolean {
    if (this.#begun) return this.#pending === 0;
    while (this.#next < slots.length) {
      const slot = slots[this.#next] as Slot;
      const admission = this.#walk.admit(slot);
      if (admission === "wait") return false;
      this.#next++;
      if (admission === "go") this.#calls.push(this.#walk.newCall(slot));
    }
    this.#begin();
    return this.#pending === 0;
  }

  #begin(): void {
    const walk = this.#walk;
    this.#begun = true;
    this.#pending = this.#calls.length;
    for (const call of this.#calls) {
      if (call.done) continue;
      call.startedAt = walk.at;
      try {
        if (invoke(walk, call)) this.concluded(call);
        else walk.at = walk.engine.clock.now();
      } catch (error) {
        call.done = true;
        this.cancel("a sibling failed", error, call);
        throw error;
      }
    }
  }

  /** A handler's answer has been weighed. */
  concluded(call: HandlerCall): void {
    call.done = true;
    this.#pending--;
    if (!this.#walk.result.allowed) this.cancel("a sibling blocked", "a sibling blocked", call);
  }

  /** Gives up all handlers that run, but one. */
  cancel(why: string, reason: unknown, except?: HandlerCall): void {
    for (const call of this.#calls) {
      if (call === except || call.done) continue;
      this.#pending--;
      cancelCall(this.#walk, call, why, reason);
    }
  }
}

/** Gives a handler up and writes it down. */
export function cancelCall(walk: Walk, call: HandlerCall, why: string, reason: unknown): void {
  call.cancel(reason instanceof Error ? reason : new DOMException(why, "AbortError"));
  call.done = true;
  const ran = call.deadlineAt === 0 ? 0 : walk.at - call.startedAt;
  const facts = { status: "cancelled", reason: why, durationNs: Math.round(ran * 1e6) } as const;
  recordPassedOver(walk.engine, walk.result, call.slot, call.mode, facts);
}
