import type { SessionLocation } from "./session-location.ts";

/** A remembered place. */
export interface RememberedPlace {
  readonly location: Extract<SessionLocation, { kind: "remote" }>;
  /** Keyed hash of the principal that the session belongs to. */
  readonly principal: string;
  readonly untilMs: number;
}

/** Where sessions of other replicas were found lately; bounded, the oldest goes first. */
export class LocationCache {
  readonly #places = new Map<string, RememberedPlace>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get(session: string, nowMs: number): RememberedPlace | undefined {
    const place = this.#places.get(session);
    if (place === undefined || nowMs < place.untilMs) return place;
    this.#places.delete(session);
    return undefined;
  }

  set(session: string, place: RememberedPlace): void {
    const [oldest] = this.#places.keys();
    if (this.#places.size >= this.#max && oldest !== undefined) this.#places.delete(oldest);
    this.#places.set(session, place);
  }

  forget(session: string): void {
    this.#places.delete(session);
  }
}
