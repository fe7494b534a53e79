export { UpstreamAnswer } from "./answer.ts";
export type { HeaderSource } from "./http-connection.ts";
export { createHttpUpstream, type HttpUpstreamDeps } from "./http-upstream.ts";
export type { HttpUpstreamOptions } from "./http-upstream-options.ts";
export { LineSplitter, type LineSplitterOptions } from "./line-splitter.ts";
export { createStdioUpstream, type StdioUpstreamDeps } from "./stdio-upstream.ts";
export type { StdioUpstreamOptions } from "./stdio-upstream-options.ts";
export type {
  CallOptions,
  CloseReason,
  Continuation,
  Implementation,
  OpenOptions,
  PeerResponse,
  ResumableSession,
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
