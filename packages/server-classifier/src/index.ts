export type { Classification, ClassificationMetadata, ServerHistory } from "./classification.ts";
export { classify } from "./classify.ts";
export { ClassifierError, type ClassifierErrorCode } from "./errors.ts";
export type { KnownServer, Tier } from "./known-server.ts";
export type { RankingOptions } from "./settings.ts";
export type { ServerUsage, UsageSource } from "./usage-source.ts";
