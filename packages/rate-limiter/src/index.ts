export type { Algorithm, AlgorithmName, KeyState, Limit, Step } from "./algorithms/algorithm.ts";
export { ALGORITHMS } from "./algorithms/catalog.ts";
export { type Clock, systemClock } from "./clock.ts";
export type { Decision, DecisionCode, Verdict } from "./decision.ts";
export { isRateLimiterError, RateLimiterError, type RateLimiterErrorCode } from "./errors.ts";
export {
  type CheckOptions,
  createRateLimiter,
  type LimiterStats,
  type RateLimiter,
  type RateLimiterDeps,
  type WipeTarget,
} from "./limiter.ts";
export {
  createMemoryStore,
  type MemoryStore,
  type MemoryStoreDeps,
  type MemoryStoreOptions,
} from "./memory/memory-store.ts";
export type { Mode } from "./mode.ts";
export type { LimiterObserver } from "./observer.ts";
export type { CompositeRule, LimiterRules, RateLimiterOptions, RateOption } from "./options.ts";
export { parseRate, type Rate } from "./rate.ts";
export type { Charge, Rule } from "./rule.ts";
export type { CheckRequest, LimiterStore, StoreStats, WipeScope } from "./store.ts";
export type { Subject } from "./subject.ts";
