import { WireError } from "./errors.ts";
import { headerOf, type IncomingHeaders } from "./headers.ts";
import type { JsonObject, Message, NotificationMessage, RequestMessage } from "./message.ts";
import {
  DEFAULT_LEGACY,
  isLegacyRevision,
  isModernRevision,
  META,
  SUPPORTED_REVISIONS,
} from "./revisions.ts";
import { textOf } from "./splice.ts";

/** How one HTTP request is to be served. */
export type EraVerdict =
  | { readonly era: "modern"; readonly protocolVersion: string }
  | {
      readonly era: "legacy";
      /** The revision the request names or is taken for; of `initialize` the one it asks for. */
      readonly protocolVersion: string;
    }
  | { readonly era: "refused"; readonly error: WireError };

/**
 * Tells by which family of revisions an HTTP request is served. The body decides: an envelope in `_meta` is
 * modern; a bare `initialize`, a posted response, a batch and a request without body (GET, DELETE) are legacy; the
 * header `MCP-Protocol-Version` is checked against it. Without header and envelope: 2025-03-26.
 *
 * @param message the parsed body; none for GET and DELETE
 * @param supported revisions to name where an unknown one is refused: those that `server/discover` names. Default all
 */
export function classifyEra(
  headers: IncomingHeaders,
  message?: Message,
  supported: readonly string[] = SUPPORTED_REVISIONS,
): EraVerdict {
  const verdict = classify(headers, message);
  if (verdict.era !== "refused" || verdict.error.details?.["supported"] === undefined) return verdict;
  const { code, idText, message: text, details } = verdict.error;
  return { era: "refused", error: new WireError(code, text, { idText, details: { ...details, supported } }) };
}

function classify(headers: IncomingHeaders, message: Message | undefined): EraVerdict {
  const header = headerOf(headers, "mcp-protocol-version");
  const namesModern = header !== undefined && isModernRevision(header);
  if (message === undefined) {
    if (namesModern) return refused("method_not_allowed", `Revision ${header} is served by POST only.`);
    return legacy(header);
  }
  switch (message.kind) {
    case "batch":
      return classifyBatch(header, message.messages);
    case "response":
      if (!namesModern) return legacy(header);
      return refused("invalid_request", `Revision ${header} knows no posted responses.`);
    default:
      return classifySingle(header, namesModern, message);
  }
}

function classifySingle(
  header: string | undefined,
  namesModern: boolean,
  message: RequestMessage | NotificationMessage,
): EraVerdict {
  const meta = metaOf(message.params);
  const claim = meta?.[META.protocolVersion];
  if (message.method === "initialize" && !isValidModernClaim(meta)) {
    if (namesModern) {
      const text = "Header mismatch: initialize belongs to legacy revisions, the header names a modern one";
      return refused("header_mismatch", text, idTextOf(message), { header: "MCP-Protocol-Version" });
    }
    const requested = message.params?.["protocolVersion"];
    return { era: "legacy", protocolVersion: typeof requested === "string" ? requested : DEFAULT_LEGACY };
  }
  if (claim !== undefined) return classifyClaim(header, message, meta ?? {}, claim);
  if (!namesModern) return legacy(header, message);
  if (message.kind === "notification") return { era: "modern", protocolVersion: header as string };
  const missing = [META.protocolVersion, META.clientCapabilities].filter((key) => meta?.[key] === undefined);
  return refused(
    "invalid_params",
    `Revision ${header} requires ${missing.join(" and ")} in params._meta.`,
    idTextOf(message),
    { missing },
  );
}

function classifyClaim(
  header: string | undefined,
  message: RequestMessage | NotificationMessage,
  meta: JsonObject,
  claim: unknown,
): EraVerdict {
  const problem = envelopeProblem(meta, claim, message.kind === "request");
  if (problem !== undefined) {
    return refused("invalid_params", `Invalid params: ${problem.key} ${problem.text}.`, idTextOf(message), {
      key: problem.key,
    });
  }
  const version = claim as string;
  if (header !== undefined && header !== version) {
    const text = `Header mismatch: MCP-Protocol-Version '${header}' does not match the body's '${version}'`;
    return refused("header_mismatch", text, idTextOf(message), { header: "MCP-Protocol-Version" });
  }
  if (isModernRevision(version)) return { era: "modern", protocolVersion: version };
  return refused("unsupported_version", "Unsupported protocol version", idTextOf(message), {
    supported: SUPPORTED_REVISIONS,
    requested: version,
  });
}

function envelopeProblem(
  meta: JsonObject,
  claim: unknown,
  isRequest: boolean,
): { readonly key: string; readonly text: string } | undefined {
  if (typeof claim !== "string") return { key: META.protocolVersion, text: "must be a string" };
  if (!isRequest || !isModernRevision(claim)) return undefined;
  const capabilities = meta[META.clientCapabilities];
  if (capabilities === undefined) return { key: META.clientCapabilities, text: "is required" };
  if (!isObject(capabilities)) return { key: META.clientCapabilities, text: "must be an object" };
  const info = meta[META.clientInfo];
  if (info === undefined) return undefined;
  if (!isObject(info) || typeof info["name"] !== "string" || typeof info["version"] !== "string") {
    return { key: META.clientInfo, text: "must hold name and version" };
  }
  return undefined;
}

function isValidModernClaim(meta: JsonObject | undefined): boolean {
  const claim = meta?.[META.protocolVersion];
  if (meta === undefined || typeof claim !== "string" || !isModernRevision(claim)) return false;
  return envelopeProblem(meta, claim, true) === undefined;
}

function classifyBatch(
  header: string | undefined,
  messages: readonly { readonly kind: string; readonly params?: JsonObject }[],
): EraVerdict {
  if (messages.some((message) => metaOf(message.params)?.[META.protocolVersion] !== undefined)) {
    return refused("invalid_request", "A batch may not hold requests of a modern revision.");
  }
  const version = header ?? DEFAULT_LEGACY;
  if (version === DEFAULT_LEGACY) return { era: "legacy", protocolVersion: version };
  return refused("invalid_request", `Batches belong to revision ${DEFAULT_LEGACY} alone.`);
}

function legacy(header: string | undefined, message?: RequestMessage | NotificationMessage): EraVerdict {
  const version = header ?? DEFAULT_LEGACY;
  if (isLegacyRevision(version)) return { era: "legacy", protocolVersion: version };
  const text = `MCP-Protocol-Version '${version}' is not supported.`;
  return refused("invalid_request", text, message && idTextOf(message), {
    supported: SUPPORTED_REVISIONS,
    requested: version,
  });
}

function idTextOf(message: RequestMessage | NotificationMessage): string {
  return message.kind === "request" ? textOf(message.bytes, message.idSpan) : "null";
}

function refused(
  code: ConstructorParameters<typeof WireError>[0],
  text: string,
  idText = "null",
  details?: JsonObject,
): EraVerdict {
  return { era: "refused", error: new WireError(code, text, { idText, ...(details && { details }) }) };
}

function metaOf(params: JsonObject | undefined): JsonObject | undefined {
  const meta = params?.["_meta"];
  return isObject(meta) ? meta : undefined;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
