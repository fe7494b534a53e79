import { seal, unseal } from "./seal.ts";
import type { SessionState, UpstreamSessionId } from "./session-location.ts";

/** What a record keeps for the next owner. */
export interface Kept {
  readonly state: SessionState;
  readonly upstream: readonly UpstreamSessionId[];
}

/** Seals what records keep: the first key seals, all open. */
export class SealedKeep {
  readonly #keys: readonly Uint8Array[];

  constructor(keys: readonly Uint8Array[]) {
    this.#keys = keys;
  }

  seal(session: string, kept: Kept): string {
    const [first = new Uint8Array()] = this.#keys;
    return seal(JSON.stringify(kept), first, session);
  }

  /** `undefined` when what is sealed is missing or cannot be opened: as lost as a session that cannot be resumed. */
  unseal(session: string, sealed: string): Kept | undefined {
    const text = unseal(sealed, this.#keys, session);
    return text === undefined ? undefined : (JSON.parse(text) as Kept);
  }
}
