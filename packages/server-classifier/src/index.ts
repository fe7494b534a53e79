export type { Classification, ClassificationMetadata, ServerHistory } from "./classification.ts";
export {
  type Classifier,
  type ClassifierDeps,
  type ClassifierStats,
  createClassifier,
  type ServerExplanation,
} from "./classifier.ts";
export type { ClassifierOptions } from "./classifier-options.ts";
export type {
  ClaimReply,
  ClaimRequest,
  ClassifierStore,
  LeaseReply,
  PollRecord,
  PollStore,
  Publication,
  Stamped,
  StoreEvent,
  UsageDelta,
  UsageReport,
} from "./classifier-store.ts";
export { classify } from "./classify.ts";
export { type Clock, systemClock } from "./clock.ts";
export { ClassifierError, type ClassifierErrorCode } from "./errors.ts";
export type { KnownServer, Tier } from "./known-server.ts";
export { createMemoryStore, type MemoryStoreOptions } from "./memory-store.ts";
export type { ClassifierObserver } from "./observer.ts";
export type { PolledServer, PollType } from "./poll-interval.ts";
export {
  createPollSchedule,
  type PollClaim,
  type PollExplanation,
  type PollSchedule,
  type ScheduleDeps,
} from "./poll-schedule.ts";
export type { Pace, PollEnding, PollMemory, PollState } from "./poll-state.ts";
export type { ScheduleOptions } from "./schedule-options.ts";
export type { RankingOptions } from "./settings.ts";
export { type Snapshot, tierOf } from "./snapshot.ts";
export type { ServerUsage, UsageSource } from "./usage-source.ts";
