export { UpstreamAnswer } from "./answer.ts";
export type { HeaderSource } from "./http-connection.ts";
export { createHttpUpstream, type HttpUpstreamDeps, type HttpUpstreamOptions } from "./http-upstream.ts";
export { createStdioUpstream, type StdioUpstreamDeps, type StdioUpstreamOptions } from "./stdio-upstream.ts";
export type {
  CallOptions,
  CloseReason,
  Implementation,
  OpenOptions,
  PeerResponse,
  Upstream,
  UpstreamMessage,
  UpstreamRequest,
  UpstreamSession,
  UpstreamStats,
} from "./upstream.ts";
export {
  type CallPhase,
  UpstreamError,
  type UpstreamErrorCode,
  type UpstreamErrorFacts,
} from "./upstream-error.ts";
