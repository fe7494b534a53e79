import type { CloseReason, FaultKind } from "./session-factory.ts";
import type { SessionStrategy } from "./session-key.ts";

/** Which session an event is about. Holds no secret: `keyId` is a keyed hash. */
export interface SessionEvent {
  readonly serverId: string;
  readonly keyId: string;
  readonly strategy: SessionStrategy;
}

/** Is told what happens in a pool. Every method is optional; one that throws is ignored. */
export interface SessionPoolObserver {
  sessionOpened?(event: SessionEvent & { readonly connectMs: number }): void;
  sessionClosed?(event: SessionEvent & { readonly reason: CloseReason; readonly uses: number }): void;
  /** A close rejected (`failed`) or did not end in time (`timeout`); the session was abandoned. */
  closeAbandoned?(
    event: SessionEvent & { readonly reason: CloseReason; readonly why: "timeout" | "failed" },
  ): void;
  connectFailed?(event: SessionEvent & { readonly kind: FaultKind; readonly networkCode?: string }): void;
  probeFailed?(
    event: SessionEvent & { readonly probe: string; readonly verdict: "timeout" | "terminal" },
  ): void;
  breakerChanged?(event: {
    readonly serverId: string;
    readonly state: "closed" | "open" | "half_open";
  }): void;
  acquireFailed?(event: SessionEvent & { readonly code: string; readonly queueDepth: number }): void;
}
