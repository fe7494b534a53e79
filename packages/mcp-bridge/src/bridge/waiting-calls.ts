import { randomUUID } from "node:crypto";
import { WireError } from "../errors.ts";
import type { RequestMessage } from "../message.ts";
import { textOf } from "../splice.ts";
import { BridgeError } from "./bridge-error.ts";
import { callDigest } from "./call-digest.ts";
import type { ParkedCall } from "./parked-call.ts";
import { createSealer, type Sealer } from "./sealer.ts";

/** Options of {@link WaitingCalls}. */
export interface WaitingCallsOptions {
  readonly secret: Uint8Array;
  readonly previousSecrets: readonly Uint8Array[];
  readonly replica: string;
  readonly parkedTtlMs: number;
  readonly maxParked: number;
  readonly maxParkedPerPrincipal: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Who may continue a call, and where. */
export interface CallOwner {
  readonly principal: string;
  readonly endpoint: string;
}

/** A call that can wait for its client. */
export interface WaitingCall {
  readonly call: ParkedCall;
  readonly owner: CallOwner;
  /** The original call's raw progress token. */
  readonly token: string | undefined;
}

interface Entry {
  readonly waiting: WaitingCall;
  /** Named by the one state that continues the call. */
  readonly nonce: string;
  readonly timer: NodeJS.Timeout;
}

interface SealedState {
  readonly parked: string;
  readonly replica: string;
  readonly nonce: string;
}

/** Most used nonces that are remembered, to tell a second use from a lost call. */
const MAX_SPENT = 10_000;

/**
 * Calls that wait for their clients. Each is named by a sealed state that is valid for one principal, one call and one
 * use, and names the replica which holds the call.
 */
export class WaitingCalls {
  readonly #options: WaitingCallsOptions;
  readonly #sealer: Sealer;
  readonly #entries = new Map<string, Entry>();
  readonly #spent = new Set<string>();
  readonly #perPrincipal = new Map<string, number>();
  #parkedTotal = 0;
  #expired = 0;

  constructor(options: WaitingCallsOptions) {
    const { secret, previousSecrets } = options;
    this.#options = options;
    this.#sealer = createSealer({ secret, previousSecrets, label: "state" });
  }

  /**
   * Lets a call wait, until its oldest question has waited as long as questions may: coming back without an answer does not
   * prolong that. Returns the state that continues it.
   *
   * @throws BridgeError `outcome_unknown` when too many wait, or that time is over; the call is given up
   */
  park(waiting: WaitingCall, message: RequestMessage): string {
    const { maxParked, maxParkedPerPrincipal, parkedTtlMs, replica, now } = this.#options;
    const { owner, call } = waiting;
    const nowMs = now();
    const leftMs = (call.askedAt ?? nowMs) + parkedTtlMs - nowMs;
    if (leftMs <= 0) throw this.#giveUp(call);
    const { principal } = owner;
    const own = this.#perPrincipal.get(principal) ?? 0;
    if (this.#entries.size >= maxParked || own >= maxParkedPerPrincipal) {
      const error = new BridgeError("outcome_unknown", "Too many calls wait for input.");
      call.abort(error);
      throw error;
    }
    const id = randomUUID();
    const nonce = randomUUID();
    const timer = setTimeout(() => this.#expire(id), leftMs);
    timer.unref();
    this.#entries.set(id, { waiting, nonce, timer });
    this.#perPrincipal.set(principal, own + 1);
    this.#parkedTotal++;
    const state: SealedState = { parked: id, replica, nonce };
    return this.#sealer.seal(state, bindingOf(message, owner));
  }

  /**
   * The call that a continuation is for, or the replica that holds it.
   *
   * @throws WireError for a state that is forged, of another call or principal, or used before; BridgeError
   *   `outcome_unknown` when the call is gone
   */
  take(message: RequestMessage, owner: CallOwner): WaitingCall | { readonly replica: string } {
    const state = this.#open(message, owner);
    if (state.replica !== this.#options.replica) return { replica: state.replica };
    const entry = this.#entries.get(state.parked);
    if (entry === undefined)
      throw new BridgeError("outcome_unknown", "The call no longer waits for this answer.");
    this.#remove(state.parked, entry);
    this.#spend(entry.nonce);
    return entry.waiting;
  }

  stats() {
    return { parked: this.#entries.size, parkedTotal: this.#parkedTotal, expired: this.#expired };
  }

  /** Gives all calls up. */
  close(): void {
    for (const [id, entry] of [...this.#entries]) {
      this.#remove(id, entry);
      entry.waiting.call.abort(new BridgeError("outcome_unknown", "The gateway stopped."));
    }
  }

  #open(message: RequestMessage, owner: CallOwner): SealedState {
    const token = message.params?.["requestState"];
    const opened =
      typeof token === "string" ? this.#sealer.open(token, bindingOf(message, owner)) : undefined;
    const state = opened as SealedState | undefined;
    if (state !== undefined && !this.#spent.has(state.nonce)) return state;
    const idText = textOf(message.bytes, message.idSpan);
    throw new WireError("invalid_params", "The requestState is not valid.", { idText });
  }

  #expire(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#remove(id, entry);
    this.#giveUp(entry.waiting.call);
  }

  #giveUp(call: ParkedCall): BridgeError {
    const error = new BridgeError("outcome_unknown", "The client did not answer in time.");
    this.#expired++;
    call.abort(error);
    return error;
  }

  #remove(id: string, entry: Entry): void {
    clearTimeout(entry.timer);
    this.#entries.delete(id);
    const { principal } = entry.waiting.owner;
    const own = (this.#perPrincipal.get(principal) ?? 1) - 1;
    if (own > 0) this.#perPrincipal.set(principal, own);
    else this.#perPrincipal.delete(principal);
  }

  #spend(nonce: string): void {
    this.#spent.add(nonce);
    const [oldest] = this.#spent;
    if (this.#spent.size > MAX_SPENT && oldest !== undefined) this.#spent.delete(oldest);
  }
}

/** What a sealed state is valid for: this principal, this endpoint and this very call. */
function bindingOf(message: RequestMessage, { principal, endpoint }: CallOwner): string {
  return JSON.stringify([principal, endpoint, callDigest(message)]);
}
