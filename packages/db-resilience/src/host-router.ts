import type { Clock } from "./clock.ts";
import type { DatabaseHost } from "./database-host.ts";
import type { DatabaseError } from "./errors.ts";
import type { HostInfo } from "./host-info.ts";
import type { ParsedOptions, TargetSessionAttrs } from "./options.ts";
import { unavailable } from "./refusals.ts";
import { WaiterQueue } from "./waiter-queue.ts";

/** Chooses among hosts by their last known roles. */
export class HostRouter {
  readonly hosts: readonly DatabaseHost[];
  readonly #options: ParsedOptions;
  readonly #changed: WaiterQueue<void>;

  constructor(hosts: readonly DatabaseHost[], options: ParsedOptions, clock: Clock) {
    this.hosts = hosts;
    this.#options = options;
    this.#changed = new WaiterQueue(clock);
  }

  /** The hosts that fit `targetSessionAttrs`, best first: highest timeline, then the order of the options. */
  candidates(): DatabaseHost[] {
    const up = this.hosts.filter((host) => host.info !== undefined);
    const fitting = up.filter((host) => host.info && fits(this.#options.targetSessionAttrs, host.info));
    if (fitting.length === 0 && this.#options.targetSessionAttrs === "prefer-standby") return up;
    if (fitting.length < 2) return fitting;
    return fitting.sort((a, b) => (b.info?.timeline ?? 0) - (a.info?.timeline ?? 0));
  }

  /** The server that takes writes: the one of the highest timeline. */
  primary(): DatabaseHost | undefined {
    return this.hosts
      .filter(({ info }) => info && !info.standby)
      .reduce<DatabaseHost | undefined>(
        (best, host) => (best && (best.info?.timeline ?? 0) >= (host.info?.timeline ?? 0) ? best : host),
        undefined,
      );
  }

  /** Standbys that are up. */
  standbys(): DatabaseHost[] {
    return this.hosts.filter((host) => host.info?.standby === true);
  }

  /** Whether some host has not been asked yet. */
  get undecided(): boolean {
    return this.hosts.some((host) => host.state.kind === "starting");
  }

  /** Asks every host that is up for its role again, after one has refused a write. */
  async recheck(): Promise<void> {
    const up = this.hosts.filter(({ state }) => state.kind === "up");
    await Promise.all(up.map((host) => host.recheck({ fresh: true })));
  }

  /** To be called after each check of a host. */
  noteCheck(): void {
    while (this.#changed.giveToFirst(undefined));
  }

  /** Waits until a host has been checked; rejects with `refusal()` after `timeoutMs`. */
  async nextChange(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    await this.#changed.wait(timeoutMs, () => this.refusal(), signal);
  }

  /** Why there is nobody to talk to. */
  refusal(): DatabaseError {
    const down = this.hosts.map((host) => host.refusal()).filter((error) => error !== undefined);
    if (down[0] && down.length === this.hosts.length) return down[0];
    return unavailable(this.undecided ? "starting" : `no ${this.#options.targetSessionAttrs} server`);
  }
}

function fits(target: TargetSessionAttrs, info: HostInfo): boolean {
  switch (target) {
    case "any":
      return true;
    case "read-write":
      return !info.standby && !info.readOnly;
    case "read-only":
      return info.standby || info.readOnly;
    case "primary":
      return !info.standby;
    case "standby":
    case "prefer-standby":
      return info.standby;
  }
}
