import type { Chain } from "../dispatch/chain.ts";
import type { InstanceHandle } from "./instance-handle.ts";
import type { PluginRuntime } from "./plugin-runtime.ts";

/** An immutable configuration at work. Requests pin the one they began with; the last to leave lets it end. */
export class Snapshot {
  /** By hook; a record without prototype, which is looked up faster than a map. */
  readonly chains: Readonly<Record<string, Chain | undefined>>;
  readonly plugins: readonly PluginRuntime[];
  /** Every instance that a context of this snapshot has resolved to, by key. */
  readonly handles: Map<string, InstanceHandle>;
  readonly payloadCharacters: number;
  #active = 0;
  #retired = false;
  #drained: (() => void) | undefined;

  constructor(
    chains: Readonly<Record<string, Chain | undefined>>,
    plugins: readonly PluginRuntime[],
    handles: Map<string, InstanceHandle>,
    payloadCharacters: number,
  ) {
    this.chains = chains;
    this.plugins = plugins;
    this.handles = handles;
    this.payloadCharacters = payloadCharacters;
  }

  /** Requests and background handlers under way. */
  get active(): number {
    return this.#active;
  }

  retain(): void {
    this.#active++;
  }

  release(): void {
    this.#active--;
    if (this.#retired && this.#active === 0) this.#drained?.();
  }

  /** Resolves when nothing uses the snapshot any more. */
  drained(): Promise<void> {
    this.#retired = true;
    if (this.#active === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const before = this.#drained;
      this.#drained = () => {
        before?.();
        resolve();
      };
    });
  }

  plugin(name: string): PluginRuntime | undefined {
    return this.plugins.find((plugin) => plugin.name === name);
  }
}
