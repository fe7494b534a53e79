import { encodeErrorBody } from "../error-body.ts";
import { RPC } from "../errors.ts";
import { findSpans } from "../find-spans.ts";
import type { JsonObject } from "../message.ts";
import type { Era } from "../revisions.ts";
import { splice } from "../splice.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import { insertMembers, membersOf } from "./edit-members.ts";

/** JSON-RPC number of a resource that does not exist, in legacy revisions. */
const RESOURCE_NOT_FOUND = -32002;

/** Methods whose results carry cache hints (2026-07-28, "Cacheable Results"). */
const CACHEABLE: ReadonlySet<string> = new Set([
  "server/discover",
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read",
]);

/** A JSON-RPC answer for a client. */
export interface TranslatedAnswer {
  readonly body: Buffer;
  /** HTTP status that a modern client expects with it; 200 for legacy clients. */
  readonly httpStatus: number;
}

/**
 * A legacy server's answer for a modern client: `resultType` and, where the method has them, cache hints are added
 * when they are missing (nothing may be cached that nobody allowed), error numbers are mapped. Everything else as
 * it came.
 */
export function toModern(answer: UpstreamAnswer, method: string, idText: string): TranslatedAnswer {
  if (answer.kind === "error") return modernError(answer, idText);
  const [result] = findSpans(answer.bytes, { result: true });
  if (result === undefined) return { body: answer.withId(idText), httpStatus: 200 };
  const present = membersOf(answer.bytes, result);
  const members: string[] = [];
  if (!present.has("resultType")) members.push('"resultType":"complete"');
  if (CACHEABLE.has(method)) {
    if (!present.has("ttlMs")) members.push('"ttlMs":0');
    if (!present.has("cacheScope")) members.push('"cacheScope":"private"');
  }
  const edits = [{ ...answer.idSpan, text: idText }];
  if (members.length > 0) edits.push(insertMembers(answer.bytes, result.start, members) as (typeof edits)[0]);
  edits.sort((left, right) => left.start - right.start);
  return { body: splice(answer.bytes, edits), httpStatus: 200 };
}

function modernError(answer: UpstreamAnswer, idText: string): TranslatedAnswer {
  const code = answer.value()["code"];
  if (code === RESOURCE_NOT_FOUND)
    return { body: renumbered(answer, idText, RPC.invalidParams), httpStatus: 200 };
  return { body: answer.withId(idText), httpStatus: code === RPC.methodNotFound ? 404 : 200 };
}

/**
 * A modern server's answer for a legacy client: error numbers that legacy revisions do not know are mapped,
 * everything else is left as it came (legacy clients ignore further members).
 */
export function toLegacy(answer: UpstreamAnswer, method: string, idText: string): TranslatedAnswer {
  const plain = () => ({ body: answer.withId(idText), httpStatus: 200 });
  if (answer.kind !== "error") return plain();
  switch (answer.value()["code"]) {
    case RPC.invalidParams:
      if (method !== "resources/read") return plain();
      return { body: renumbered(answer, idText, RESOURCE_NOT_FOUND), httpStatus: 200 };
    case RPC.missingClientCapability:
      return { body: renumbered(answer, idText, RPC.invalidRequest), httpStatus: 200 };
    case RPC.headerMismatch:
    case RPC.unsupportedProtocolVersion:
      // Those are about what we sent, not about what the client said.
      return { body: renumbered(answer, idText, RPC.internalError), httpStatus: 200 };
    default:
      return plain();
  }
}

function renumbered(answer: UpstreamAnswer, idText: string, code: number): Buffer {
  const { message, data } = answer.value() as { message?: unknown; data?: unknown };
  const text = typeof message === "string" ? message : "Error";
  return Buffer.from(encodeErrorBody({ idText, code, message: text, ...(data !== undefined && { data }) }));
}

/** The result of `server/discover` for a server that did a legacy handshake, or the other way round. */
export function synthesizeHandshake(
  era: Era,
  server: {
    readonly serverInfo: unknown;
    readonly capabilities: JsonObject;
    readonly instructions: string | undefined;
  },
  versions: { readonly supported: readonly string[]; readonly serverInfoKey: string },
): JsonObject {
  const { tasks: _, ...capabilities } = server.capabilities;
  const instructions = server.instructions === undefined ? {} : { instructions: server.instructions };
  if (era === "legacy") {
    const serverInfo = server.serverInfo ?? { name: "unknown", version: "0" };
    return { protocolVersion: versions.supported[0], capabilities, serverInfo, ...instructions };
  }
  return {
    resultType: "complete",
    supportedVersions: versions.supported,
    capabilities,
    ...instructions,
    ttlMs: 0,
    cacheScope: "private",
    ...(server.serverInfo !== undefined && { _meta: { [versions.serverInfoKey]: server.serverInfo } }),
  };
}
