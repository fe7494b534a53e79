import type { Logger } from "pino";
import type { ConfigError } from "../config/config-error.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { type ConfigChange, diffConfig } from "./config-diff.ts";
import { effectiveConfig } from "./effective-config.ts";
import { shownValue } from "./shown-value.ts";

/**
 * Makes a part of the gateway ready for another configuration; what it returns applies that and cannot fail.
 *
 * @throws {ConfigError} when it cannot be used
 */
export type ConfigFollower = (next: GatewayConfig) => Promise<() => void>;

/** What {@link LiveConfig} works with. */
export interface LiveConfigDeps {
  readonly logger: Logger;
  /** Parts that can refuse, in order; nothing is applied before all are ready, but the last may apply at once. */
  readonly followers: readonly ConfigFollower[];
  /** Makes the registry's configured upstreams those of a configuration. */
  readonly followServers: (servers: GatewayConfig["mcpServers"]) => Promise<void>;
}

/** What the gateway follows of its configuration, and how the last change of it went. */
export interface ConfigStatus {
  /** What is in force, without secrets. */
  readonly config: unknown;
  /** How often another one was taken since the start. */
  readonly reloads: number;
  readonly last?: { readonly at: number; readonly changes: readonly ConfigChange[] };
  /** What the file says and only a restart applies. */
  readonly needsRestart: readonly ConfigChange[];
  /** Why the file of now is not followed. */
  readonly refused?: { readonly at: number; readonly problems: readonly string[] };
}

/** The configuration of a running gateway: what is in force, and the way from one to the next. */
export class LiveConfig {
  readonly #started: GatewayConfig;
  readonly #deps: LiveConfigDeps;
  readonly #listeners = new Set<(config: GatewayConfig) => void>();
  #current: GatewayConfig;
  #wanted: GatewayConfig;
  #status: Pick<ConfigStatus, "last" | "refused"> = {};
  #reloads = 0;

  constructor(config: GatewayConfig, deps: LiveConfigDeps) {
    this.#started = config;
    this.#current = config;
    this.#wanted = config;
    this.#deps = deps;
  }

  /** What is in force. */
  get current(): GatewayConfig {
    return this.#current;
  }

  /** Calls `listener` with what is in force, each time that it has changed. */
  onChange(listener: (config: GatewayConfig) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Follows another configuration as far as a running gateway can, and says in the log what changed.
   *
   * @throws {ConfigError} when it cannot be used: everything stays as it was
   * @throws when the registry is away; the rest is in force then, and applying again goes on
   */
  async apply(next: GatewayConfig): Promise<void> {
    const { followers, followServers, logger } = this.#deps;
    const before = this.#current;
    const effective = effectiveConfig(this.#started, next);
    const applied = diffConfig(before, effective);
    const known = diffConfig(this.#wanted, next).length === 0;
    if (applied.length === 0 && known) {
      this.#status = { ...(this.#status.last && { last: this.#status.last }) };
      return;
    }
    const commits: (() => void)[] = [];
    for (const prepare of followers) commits.push(await prepare(effective));
    for (const commit of commits) commit();
    this.#current = { ...effective, mcpServers: before.mcpServers };
    for (const listener of this.#listeners) listener(this.#current);
    await followServers(effective.mcpServers);
    this.#current = effective;
    this.#wanted = next;
    this.#reloads++;
    this.#status = { last: { at: Date.now(), changes: applied } };
    const needsRestart = this.#needsRestart();
    logger.info(
      { changes: applied, ...(needsRestart.length > 0 && { needsRestart }) },
      "the configuration has changed",
    );
  }

  /** Notes that a configuration cannot be used. */
  refuse({ problems, message }: ConfigError): void {
    this.#status = {
      ...this.#status,
      refused: { at: Date.now(), problems: message.split("\n") },
    };
    this.#deps.logger.error(
      { problems: problems.map(({ path }) => path) },
      `the configuration is not right and the former one stays: ${message}`,
    );
  }

  status(): ConfigStatus {
    return {
      config: shownConfig(this.#current),
      reloads: this.#reloads,
      needsRestart: this.#needsRestart(),
      ...this.#status,
    };
  }

  #needsRestart(): ConfigChange[] {
    return diffConfig(effectiveConfig(this.#started, this.#wanted), this.#wanted);
  }
}

/** Plugins and API keys by name, so that their paths are those of changes. */
function shownConfig(config: GatewayConfig): unknown {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => {
      if (!Array.isArray(value)) return [key, shownValue(key, value)];
      return [key, value.map((entry) => shownValue(`${key}.${(entry as { name: string }).name}`, entry))];
    }),
  );
}
