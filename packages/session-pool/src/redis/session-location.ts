/** An upstream session that belongs to a downstream session, as far as another replica needs it to go on. */
export interface UpstreamSessionId {
  readonly serverId: string;
  /** The upstream's session id; absent where there is none to resume by (stdio). */
  readonly sessionId?: string;
  /** Whether a new connection can take the session up where the old one left it. */
  readonly resumable: boolean;
  /** Whatever else is needed to resume: protocol revision, last event id. */
  readonly extra?: Readonly<Record<string, string>>;
}

/** What the application needs to make a downstream session anew on another replica, as text by name. */
export type SessionState = Readonly<Record<string, string>>;

/** The hold of this replica on a session; its fields are always those of now. */
export interface OwnershipHold {
  readonly epoch: number;
  /** False when the hold is lost, and when no beat got through for so long that others may think this owner dead. */
  readonly certain: boolean;
}

/** Where a downstream session is. */
export type SessionLocation =
  /** Here. `certain` is false when no beat got through for so long that others may think this owner dead. */
  | { readonly kind: "mine"; readonly epoch: number; readonly certain: boolean }
  /** On another replica, which counts as dead in `deadInMs` unless it gives a sign of life. */
  | {
      readonly kind: "remote";
      readonly owner: string;
      readonly url: string;
      readonly epoch: number;
      readonly deadInMs: number;
    }
  /** Its owner is dead or has released it: it may be reclaimed. */
  | { readonly kind: "ownerless"; readonly owner: string; readonly epoch: number }
  /** It belongs to another principal: 403, and nothing else. */
  | { readonly kind: "foreign" }
  /** Never was, ended, or expired: 404. */
  | { readonly kind: "unknown" };

/** What came of a reclaim. */
export type ReclaimResult =
  /** This replica owns it now and may resume these upstream sessions. */
  | {
      readonly kind: "won";
      readonly epoch: number;
      readonly upstream: readonly UpstreamSessionId[];
      /** What was kept with the claim. */
      readonly state: SessionState;
    }
  /** This replica won, but something cannot be resumed: the session was ended, the client must begin anew (404). */
  | { readonly kind: "unresumable" }
  /** Another replica was quicker: ask again where it is. */
  | { readonly kind: "lost" }
  /** The owner gave a sign of life after all, or is not dead yet. */
  | { readonly kind: "alive"; readonly deadInMs: number }
  | { readonly kind: "foreign" }
  | { readonly kind: "unknown" };

/** What must be evicted, as told to every replica. */
export type EvictionNotice =
  /** A downstream session that this replica owned has ended. */
  | { readonly kind: "session"; readonly sessionId: string }
  /** URL, credentials or TLS of a server have changed, or it was removed. */
  | { readonly kind: "server"; readonly serverId: string }
  /** Notices may have been missed: compare everything with the registry. */
  | { readonly kind: "resync" };
