import { randomUUID } from "node:crypto";
import type { AlgorithmName } from "../algorithms/algorithm.ts";
import { ALGORITHMS } from "../algorithms/catalog.ts";
import { allowUncharged, type Decision, decide, type Receipt, type Verdict } from "../decision.ts";
import { RateLimiterError } from "../errors.ts";
import type { CheckRequest, LimiterStore, StoreStats, WipeScope } from "../store.ts";
import { BakedScripts } from "./baked-scripts.ts";
import { checkCall, modeOf, type RuleParameters, refundCall, wipeKeysCall } from "./check-call.ts";
import { Keys } from "./keys.ts";
import { allLanes } from "./lane.ts";
import type { RedisClient } from "./redis-client.ts";
import { runScript } from "./run-script.ts";
import {
  type ClockSource,
  checkScript,
  refundScript,
  type Script,
  wipeKeysScript,
  wipeScript,
} from "./script.ts";
import { sweepInTurn } from "./sweep.ts";
import { WriteBatch } from "./write-batch.ts";

/** Options of {@link createRedisStore}. */
export interface RedisStoreOptions {
  /** An ioredis client of any topology; the host connects and closes it. */
  readonly client: RedisClient;
  /** Begins every key. Default `gw`. */
  readonly prefix?: string;
  /** Name of the plugin whose control records are read, and under which it is registered. Default `rate_limiter`. */
  readonly plugin?: string;
}

/** Creates a store in Redis: one script call per check, whatever the number of rules. */
export function createRedisStore(options: RedisStoreOptions): RedisStore {
  return new RedisStore(options);
}

/** Scripts with the numbers of their rules in them, a few KB each in Redis; more rules than that share one script. */
const MOST_BAKED_SCRIPTS = 256;

type Scripts = Readonly<Record<AlgorithmName, Script>>;

/** Counters in Redis. Make one with {@link createRedisStore}. */
export class RedisStore implements LimiterStore {
  readonly remote = true;
  readonly plugin: string;
  readonly #client: RedisClient;
  readonly #keys: Keys;
  readonly #checks: Scripts;
  readonly #baked: BakedScripts;
  readonly #refunds: Scripts;
  readonly #wipeKeys: Script;
  readonly #parameters: RuleParameters = new WeakMap();
  readonly #clock: (() => number) | undefined;
  readonly #closing = new AbortController();
  readonly #batch = new WriteBatch();
  #calls = 0;
  #swept = 0;
  #highestRev = 0;
  #highestWipe = 0;

  constructor(
    options: RedisStoreOptions,
    clock: { source: ClockSource; now?: () => number } = { source: "redis" },
    mostBakedScripts = MOST_BAKED_SCRIPTS,
  ) {
    this.#client = options.client;
    this.plugin = options.plugin ?? "rate_limiter";
    this.#keys = new Keys(options.prefix ?? "gw", this.plugin);
    this.#checks = byAlgorithm((name) => checkScript(name, clock.source));
    this.#baked = new BakedScripts(mostBakedScripts, clock.source);
    this.#refunds = byAlgorithm((name) => refundScript(name, clock.source));
    this.#wipeKeys = wipeKeysScript(clock.source);
    this.#clock = clock.now;
  }

  check(request: CheckRequest): Promise<Decision> {
    const algorithm = request.charges[0]?.rule.algorithm.name;
    if (algorithm === undefined) return Promise.resolve(allowUncharged(request.mode, 0, 0));
    const keys = this.#keys.of(request.tenant);
    const baked = this.#baked.of(request.charges, request.tenant !== undefined);
    const { keyCount, args } = checkCall(request, keys, baked === undefined ? this.#parameters : undefined);
    if (this.#clock) args.push(String(this.#clock()));
    this.#calls++;
    this.#batch.join(this.#client.stream);
    const script = baked ?? this.#checks[algorithm];
    return runScript(this.#client, script, keyCount, args, (reply) =>
      this.#decide(request, numbersOf(reply)),
    );
  }

  async refund(receipt: Receipt): Promise<void> {
    const algorithm = receipt.charges[0]?.rule.algorithm.name;
    if (algorithm === undefined) return;
    const wipes = [receipt.wipeSeq, receipt.tenantWipeSeq] as const;
    const keys = this.#keys.of(receipt.tenant);
    const { keyCount, args } = refundCall(
      keys,
      receipt.charges,
      receipt.cost,
      receipt.at,
      wipes,
      this.#parameters,
    );
    if (this.#clock) args.push(String(this.#clock()));
    await runScript(this.#client, this.#refunds[algorithm], keyCount, args);
  }

  /**
   * Empties counters at once: raises the wipe number of the scope's control records (every lane's for `all`),
   * under which all states written before read as fresh. The dead keys are swept in the background.
   */
  async wipe(scope: WipeScope): Promise<void> {
    if (scope.scope === "key") {
      const { keyCount, args } = wipeKeysCall(this.#keys.of(scope.tenant), scope.charges);
      if (this.#clock) args.push(String(this.#clock()));
      if (keyCount > 0) await runScript(this.#client, this.#wipeKeys, keyCount, args);
      return;
    }
    const tenant = scope.scope === "tenant" ? scope.tenant : undefined;
    const controls =
      tenant === undefined
        ? allLanes().map((lane) => this.#keys.control(lane))
        : [this.#keys.of(tenant).tenantControl as string];
    const uuid = randomUUID();
    this.#batch.join(this.#client.stream);
    const seen = [this.#highestRev, this.#highestWipe];
    await Promise.all(
      controls.map((key) => runScript(this.#client, wipeScript, 1, [key, uuid, "wipe", ...seen])),
    );
    this.sweep(tenant).catch(() => {});
  }

  /**
   * Removes the dead keys of a scope, at most 5 000 a second over all replicas: one sweeps at a time, and what others
   * ask for meanwhile falls to it. Resolves with the number that this call removed. Keys left over by a sweep that was
   * cut short end by their lifetime.
   */
  async sweep(tenant?: string): Promise<number> {
    const { signal } = this.#closing;
    if (signal.aborted) return 0;
    let removed = 0;
    for await (const count of sweepInTurn(this.#client, this.#keys, tenant, signal)) {
      removed += count;
      this.#swept += count;
    }
    return removed;
  }

  /** The lane in a Cluster, where one master may be away and the others not. */
  partOf(tenant: string | undefined): string | undefined {
    return this.#client.nodes === undefined ? undefined : this.#keys.of(tenant).lane;
  }

  /** Resolves when the server of a lane takes writes. */
  async probe(lane = "_"): Promise<void> {
    await this.#client.set(this.#keys.probe(lane), "1", "PX", 1_000);
  }

  stats(): StoreStats {
    return { kind: "redis", calls: this.#calls, swept: this.#swept, highestRev: this.#highestRev };
  }

  /** Stops a sweep; the client belongs to the host. */
  close(): void {
    this.#closing.abort();
  }

  #decide(request: CheckRequest, reply: Float64Array): Decision {
    const [modeAndMark = 0, rev = 0, tenantRev = 0, wipeSeq = 0, tenantWipeSeq = 0, at = 0] = reply;
    const known = modeAndMark >= 4;
    const mode = modeOf(modeAndMark % 4);
    if (mode === "disabled") return { ...allowUncharged(mode, rev, tenantRev), recordRead: true };
    const verdicts: Verdict[] = [];
    for (let i = 0; i < request.charges.length; i++) {
      const rule = request.charges[i]?.rule;
      if (rule === undefined) continue;
      const wait = reply[3 * i + 8] ?? 0;
      verdicts.push({
        rule: rule.name,
        kind: rule.kind,
        limit: rule.limit,
        windowMs: rule.windowMs,
        remaining: reply[3 * i + 6] ?? 0,
        resetMs: reply[3 * i + 7] ?? 0,
        allowed: wait === 0,
        retryAfterMs: wait < 0 ? null : wait,
      });
    }
    this.#highestRev = Math.max(this.#highestRev, rev, tenantRev);
    this.#highestWipe = Math.max(this.#highestWipe, wipeSeq, tenantWipeSeq);
    const { tenant, charges, cost } = request;
    const charged = !request.peek && !known;
    const receipt = charged ? { tenant, charges, cost, at, wipeSeq, tenantWipeSeq, store: this } : undefined;
    return decide(verdicts, mode, rev, tenantRev, receipt);
  }
}

function numbersOf(reply: unknown): Float64Array {
  if (!(reply instanceof Uint8Array) || reply.length < 48 || reply.length % 8 !== 0) {
    throw new RateLimiterError("backend_unavailable", "The store answered something that is no decision");
  }
  const numbers = new Float64Array(reply.length / 8);
  new Uint8Array(numbers.buffer).set(reply);
  return numbers;
}

function byAlgorithm(make: (name: AlgorithmName) => Script): Scripts {
  const scripts: Partial<Record<AlgorithmName, Script>> = {};
  for (const { name } of Object.values(ALGORITHMS)) scripts[name] = make(name);
  return scripts as Scripts;
}
