import { ProtocolError, SdkError, SdkErrorCode, SdkHttpError } from "@modelcontextprotocol/client";

/** Failures of one call over a connection that works. */
const OF_THE_CALL: ReadonlySet<string> = new Set([
  SdkErrorCode.CapabilityNotSupported,
  SdkErrorCode.RequestTimeout,
  SdkErrorCode.InvalidResult,
  SdkErrorCode.UnsupportedResultType,
  SdkErrorCode.InputRequiredRoundsExceeded,
  SdkErrorCode.MethodNotSupportedByProtocolVersion,
]);

/** Whether a failed call says that its connection is gone: a server that answered is there, unless it forgot the session. */
export function isConnectionLost(error: unknown): boolean {
  if (ProtocolError.isInstance(error)) return false;
  if (SdkHttpError.isInstance(error)) return error.status === 404 || error.status === 400;
  return !(SdkError.isInstance(error) && OF_THE_CALL.has(error.code));
}
