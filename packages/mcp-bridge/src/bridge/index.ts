export { localError, localResult } from "../upstream/local-answer.ts";
export {
  type Aggregator,
  type AggregatorDeps,
  createAggregator,
  type ListRequest,
  UPSTREAMS_META,
} from "./aggregator.ts";
export type { AggregatorOptions } from "./aggregator-options.ts";
export { type BridgeDeps, createBridge } from "./bridge.ts";
export type {
  Bridge,
  CallOutcome,
  Claim,
  ForwardLegacy,
  ForwardModern,
  ResumeModern,
} from "./bridge-contract.ts";
export { BridgeError, type BridgeErrorCode } from "./bridge-error.ts";
export type { BridgeOptions } from "./bridge-options.ts";
export type { AggregatedUpstream, NamedItem } from "./exposed-names.ts";
export type { AskClient } from "./input-rounds.ts";
export type { ListCall, StoredItems } from "./list-copies.ts";
export type { ListMethod } from "./list-page.ts";
export { LOG_LEVELS, passesLogLevel, readLogLevel } from "./log-levels.ts";
export {
  createNotificationHub,
  type Listener,
  type ListenerOptions,
  mergeAcknowledged,
  type NotificationHub,
  type NotificationHubOptions,
} from "./notification-hub.ts";
export type { OpenListener } from "./notification-source.ts";
export type { RoutedRequest } from "./rewrite.ts";
export { createSealer, type Sealer, type SealerOptions } from "./sealer.ts";
export {
  LIST_KINDS,
  LIST_NOTIFICATIONS,
  readFilter,
  type SubscriptionFilter,
} from "./subscription-filter.ts";
export {
  encodeAcknowledged,
  encodeListenResult,
  withoutSubscriptionId,
  withSubscriptionId,
} from "./subscription-frames.ts";
export { completeModern, toLegacy, toModern } from "./translate-answer.ts";
