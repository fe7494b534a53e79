import type { Tier } from "./known-server.ts";

/** Receives what happens in a classifier; one that throws or rejects is ignored. */
export interface ClassifierObserver {
  /** A cycle ended well. */
  onCycle?(event: {
    readonly leader: boolean;
    readonly epoch: number;
    readonly version: number;
    readonly durationMs: number;
  }): void;
  /** A server changed its tier in a publication of this leader. */
  onMove?(event: { readonly serverId: string; readonly from: Tier | undefined; readonly to: Tier }): void;
  /** This instance became leader or ceased to be. */
  onLeader?(event: { readonly leader: boolean; readonly epoch: number }): void;
  /** A cycle, a heartbeat or a poll's bookkeeping failed; work goes on. */
  onError?(error: unknown): void;
}

/** Calls one method of the observer and swallows what it throws or, where it is asynchronous, rejects with. */
export function tell(call: () => unknown): void {
  try {
    const told = call();
    if (told instanceof Promise) told.catch(() => {});
  } catch {
    // An observer must not change what it watches.
  }
}
