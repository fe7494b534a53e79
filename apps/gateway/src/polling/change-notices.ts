import type { UpstreamMessage } from "@gatewright/mcp-bridge/upstream";
import { isListChange } from "./announced.ts";

/**
 * Passes on that an upstream's lists have changed. Every session of an upstream hears the same notice, so further ones
 * within `quietMs` are dropped: the poll that the first one asked for begins later than that.
 */
export class ChangeNotices {
  readonly #quietMs: number;
  readonly #onChange: (upstreamId: string) => void;
  readonly #heardAt = new Map<string, number>();
  readonly #now: () => number;

  /** @param now monotonic milliseconds; `performance.now` by default */
  constructor(
    quietMs: number,
    onChange: (upstreamId: string) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#quietMs = quietMs;
    this.#onChange = onChange;
    this.#now = now;
  }

  /** Takes any message of an upstream. */
  hear(upstreamId: string, message: UpstreamMessage): void {
    if (!isListChange(message)) return;
    const now = this.#now();
    const before = this.#heardAt.get(upstreamId);
    if (before !== undefined && now - before < this.#quietMs) return;
    this.#heardAt.set(upstreamId, now);
    this.#onChange(upstreamId);
  }

  /** Forgets upstreams that are gone. */
  keepOnly(upstreams: { has(id: string): boolean }): void {
    for (const id of this.#heardAt.keys()) if (!upstreams.has(id)) this.#heardAt.delete(id);
  }
}
