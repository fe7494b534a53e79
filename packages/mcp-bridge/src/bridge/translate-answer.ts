import { RPC } from "../errors.ts";
import { JsonCursor, ScanError } from "../json-cursor.ts";
import type { JsonObject } from "../message.ts";
import type { Era } from "../revisions.ts";
import { protocolError, UpstreamAnswer } from "../upstream/answer.ts";
import { localError } from "../upstream/local-answer.ts";
import { insertMembers } from "./edit-members.ts";
import { URL_ELICITATION_REQUIRED } from "./url-elicitation.ts";

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

/**
 * A legacy server's answer for a modern client: `resultType` and, where the method has them, cache hints are added
 * when they are missing (nothing may be cached that nobody allowed), error numbers are mapped, and the HTTP status
 * becomes the one that belongs to the error. Everything else as it came, the id included.
 *
 * @throws {@link UpstreamError} `upstream_protocol` for a result that is no object: a modern one says what it is
 */
export function toModern(answer: UpstreamAnswer, method: string): UpstreamAnswer {
  if (answer.kind === "error") return modernError(answer);
  const missing = missingMembers(answer, CACHEABLE.has(method));
  if (missing === undefined || missing.members.length === 0) return answer;
  const { at, members } = missing;
  return answer.edited([insertMembers(answer.bytes, at, members)]);
}

const RESULT_TYPE = Buffer.from('"resultType"');
const RESULT_TYPE_FIRST = Buffer.from('"result":{"resultType"');

/**
 * A modern server's answer for a modern client: a result without what its revision asks of it gets that; everything else
 * as it came. Cheap where nothing is missing.
 */
export function completeModern(answer: UpstreamAnswer, method: string): UpstreamAnswer {
  const { kind, bytes } = answer;
  if (kind === "error") return answer;
  const at = CACHEABLE.has(method) ? -1 : bytes.indexOf(RESULT_TYPE);
  const known =
    at >= FIRST_TYPE &&
    bytes.compare(RESULT_TYPE_FIRST, 0, undefined, at - FIRST_TYPE, at + RESULT_TYPE.length) === 0;
  return known ? answer : toModern(answer, method);
}

/** How far into its pattern the type of a result comes. */
const FIRST_TYPE = RESULT_TYPE_FIRST.length - RESULT_TYPE.length;

interface Missing {
  /** Where the result's object begins. */
  readonly at: number;
  /** The members that a modern result needs and this one does not have. */
  readonly members: readonly string[];
}

/** Looks through a result; one that is no JSON is left to its reader. */
function missingMembers(answer: UpstreamAnswer, cacheable: boolean): Missing | undefined {
  try {
    return scanResult(answer, cacheable);
  } catch (error) {
    if (error instanceof ScanError) return undefined;
    throw error;
  }
}

function scanResult({ bytes, httpStatus }: UpstreamAnswer, cacheable: boolean): Missing | undefined {
  // However deep: the cursor holds nothing for what is open, and what is not read for its values is relayed.
  const cursor = new JsonCursor(bytes, 0, Number.POSITIVE_INFINITY);
  if (!cursor.enter("{")) return undefined;
  while (cursor.nextMember()) {
    if (!cursor.keyIs("result")) {
      cursor.skipValue();
      continue;
    }
    const at = cursor.at;
    if (!cursor.enter("{")) throw protocolError("The upstream's answer has no result object.", httpStatus);
    let type = false;
    let ttl = false;
    let scope = false;
    while (cursor.nextMember()) {
      type ||= cursor.keyIs("resultType");
      ttl ||= cursor.keyIs("ttlMs");
      scope ||= cursor.keyIs("cacheScope");
      cursor.skipValue();
    }
    const members: string[] = [];
    if (!type) members.push('"resultType":"complete"');
    if (cacheable && !ttl) members.push('"ttlMs":0');
    if (cacheable && !scope) members.push('"cacheScope":"private"');
    return { at, members };
  }
  return undefined;
}

function modernError(answer: UpstreamAnswer): UpstreamAnswer {
  const code = answer.value()["code"];
  if (code === RESOURCE_NOT_FOUND) return renumbered(answer, RPC.invalidParams);
  // Where the client could be sent on, it was; here its user would not go, or there is nowhere to go.
  if (code === URL_ELICITATION_REQUIRED) return renumbered(answer, RPC.internalError);
  return withStatus(answer, code === RPC.methodNotFound ? 404 : 200);
}

/**
 * A modern server's answer for a legacy client: error numbers that legacy revisions do not know are mapped,
 * everything else is left as it came (legacy clients ignore further members).
 */
export function toLegacy(answer: UpstreamAnswer, method: string): UpstreamAnswer {
  if (answer.kind !== "error") return answer;
  switch (answer.value()["code"]) {
    case RPC.invalidParams:
      return method === "resources/read" ? renumbered(answer, RESOURCE_NOT_FOUND) : withStatus(answer, 200);
    case RPC.missingClientCapability:
      return renumbered(answer, RPC.invalidRequest);
    case RPC.headerMismatch:
    case RPC.unsupportedProtocolVersion:
      // Those are about what we sent, not about what the client said.
      return renumbered(answer, RPC.internalError);
    default:
      return withStatus(answer, 200);
  }
}

function renumbered(answer: UpstreamAnswer, code: number): UpstreamAnswer {
  const { message, data } = answer.value() as { message?: unknown; data?: unknown };
  const text = typeof message === "string" ? message : "Error";
  return localError({ code, message: text, ...(data !== undefined && { data }) }, 200);
}

function withStatus(answer: UpstreamAnswer, httpStatus: number): UpstreamAnswer {
  if (answer.httpStatus === httpStatus) return answer;
  const { kind, bytes, idSpan, via, retryAfterMs } = answer;
  return new UpstreamAnswer(kind, bytes, idSpan, httpStatus, via, retryAfterMs);
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
