export {
  type EnvelopeClaims,
  EnvelopeCodec,
  type EnvelopeOptions,
  type EnvelopeRefusal,
  type EnvelopeRequest,
  type OpenedEnvelope,
} from "./envelope.ts";
export { forwardFailure } from "./forward-failure.ts";
export { ownerUnreachable } from "./owner-unreachable.ts";
export type {
  ClaimOptions,
  ForwardTarget,
  OwnershipStats,
  RedisOwnership,
  RedisOwnershipDeps,
} from "./ownership.ts";
export type { RedisOwnershipOptions } from "./ownership-options.ts";
export type { OwnershipRedis, OwnershipSubscriber } from "./ownership-redis.ts";
export { createRedisOwnership } from "./redis-ownership.ts";
export type {
  EvictionNotice,
  OwnershipHold,
  ReclaimResult,
  SessionLocation,
  SessionState,
  UpstreamSessionId,
} from "./session-location.ts";
