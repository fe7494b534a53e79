export { ByteCollector, type Collected, collect, collected } from "./byte-collector.ts";
export { checkHeaders, mirroredMember } from "./check-headers.ts";
export { classifyEra, type EraVerdict } from "./classify-era.ts";
export { encodeErrorBody, encodeResultBody, encodeWireError, type RpcErrorBody } from "./error-body.ts";
export {
  ERROR_SURFACES,
  type ErrorSurface,
  type GatewayErrorCode,
  mcpHttpStatus,
} from "./error-codes.ts";
export { RPC, WireError, type WireErrorCode } from "./errors.ts";
export { decodeHeaderValue, encodeHeaderValue, headerOf, type IncomingHeaders } from "./headers.ts";
export type {
  BatchMessage,
  JsonObject,
  JsonRpcId,
  Message,
  NotificationMessage,
  ParamsSpans,
  RequestMessage,
  ResponseMessage,
  SingleMessage,
} from "./message.ts";
export {
  checkParamHeaders,
  encodeParamHeaders,
  type ParamHeader,
  type ParamHeaderRules,
  readParamHeaders,
} from "./param-headers.ts";
export { type ParseLimits, parseMessage } from "./parse-message.ts";
export { OptionsError } from "./parse-options.ts";
export {
  DEFAULT_LEGACY,
  type Era,
  isLegacyRevision,
  isModernRevision,
  LATEST_LEGACY,
  LATEST_MODERN,
  LEGACY_REVISIONS,
  META,
  MODERN_REVISIONS,
  negotiateLegacy,
  RESERVED_META_PREFIX,
  SUPPORTED_REVISIONS,
} from "./revisions.ts";
export { type Edit, type Span, splice, textOf } from "./splice.ts";
export { SseDecoder, type SseDecoderOptions, type SseEvent, SseLimitError } from "./sse-decoder.ts";
export { encodeSse, encodeSseComment, type SseFields } from "./sse-encoder.ts";
