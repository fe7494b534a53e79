import type { JsonObject } from "../message.ts";
import {
  isLegacyRevision,
  isModernRevision,
  LATEST_LEGACY,
  LATEST_MODERN,
  SUPPORTED_REVISIONS,
} from "../revisions.ts";
import { protocolError, type UpstreamAnswer } from "./answer.ts";
import { HttpCall, type HttpCallResult } from "./http-call.ts";
import type { HttpConnection } from "./http-connection.ts";
import type { Counters, SessionLimits } from "./http-session.ts";
import { responseHeader } from "./http-status.ts";
import { encodeRequest, type SpeakerProfile } from "./request-body.ts";
import type { OpenOptions } from "./upstream.ts";
import { UpstreamError } from "./upstream-error.ts";

/** What one JSON-RPC exchange before a session needs. */
export interface HandshakeContext {
  readonly connection: HttpConnection;
  readonly limits: SessionLimits & { readonly handshakeTimeoutMs: number };
  readonly counters: Counters;
}

/** Outcome of `server/discover`. `legacy`: evidence that the server knows no stateless revision. */
export type ProbeVerdict =
  | { readonly era: "modern"; readonly protocolVersion: string; readonly handshake: JsonObject }
  | { readonly era: "legacy"; readonly evidence: string };

const CONTENT = ["content-type", "application/json", "accept", "application/json, text/event-stream"];

/** Error numbers that only a server of a stateless revision gives. */
const MODERN_ERRORS: ReadonlySet<unknown> = new Set([-32020, -32021, -32022]);

/** HTTP statuses that say nothing about the era. */
function isNoEvidence(error: UpstreamError): boolean {
  if (error.code !== "upstream_status" && error.code !== "session_lost")
    return error.code !== "upstream_protocol";
  const status = error.httpStatus ?? 0;
  return status === 408 || status >= 500 || status < 400;
}

/**
 * Asks an HTTP server for its era by `server/discover`. A result or a modern error is modern; another JSON-RPC
 * error and HTTP 4xx without one are legacy. 401, 403, 408, 429, 5xx, timeouts and broken connections are no
 * evidence: they are thrown.
 *
 * @throws UpstreamError
 */
export async function probeHttp(context: HandshakeContext, options: OpenOptions): Promise<ProbeVerdict> {
  const requested = options.protocolVersion;
  const version = requested !== undefined && isModernRevision(requested) ? requested : LATEST_MODERN;
  let answer: UpstreamAnswer;
  let value: JsonObject;
  try {
    answer = await discover(context, options, version);
    value = answer.value();
  } catch (error) {
    if (!UpstreamError.is(error) || isNoEvidence(error)) throw error;
    return { era: "legacy", evidence: error.message };
  }
  if (answer.kind === "result") return modernVerdict(value, version);
  if (answer.httpStatus >= 500 || answer.httpStatus === 408) throw unavailable(answer.httpStatus);
  if (MODERN_ERRORS.has(value["code"])) return await discoverAgain(context, options, value);
  return { era: "legacy", evidence: `JSON-RPC error ${String(value["code"])}` };
}

function unavailable(httpStatus: number): UpstreamError {
  const text = `The upstream answered server/discover with HTTP ${httpStatus}.`;
  return new UpstreamError("upstream_status", text, { phase: "response_received", httpStatus });
}

async function discover(
  context: HandshakeContext,
  options: OpenOptions,
  protocolVersion: string,
): Promise<UpstreamAnswer> {
  const { clientInfo, capabilities } = options;
  const profile: SpeakerProfile = { era: "modern", protocolVersion, clientInfo, capabilities };
  const headers = [...CONTENT, "mcp-protocol-version", protocolVersion, "mcp-method", "server/discover"];
  return (await call(context, options, "server/discover", undefined, profile, headers)).answer;
}

/** A modern server that does not speak our revision names those it speaks; a common one is tried once. */
async function discoverAgain(
  context: HandshakeContext,
  options: OpenOptions,
  error: JsonObject,
): Promise<ProbeVerdict> {
  const supported = (error["data"] as JsonObject | undefined)?.["supported"];
  const offered = Array.isArray(supported) ? supported.filter((entry) => typeof entry === "string") : [];
  const common = offered.find(isModernRevision);
  if (common !== undefined) {
    const answer = await discover(context, options, common);
    if (answer.kind === "result") return modernVerdict(answer.value(), common);
  } else if (offered.some(isLegacyRevision)) {
    return { era: "legacy", evidence: `the upstream supports ${offered.join(", ")}` };
  }
  throw new UpstreamError(
    "upstream_protocol",
    `The upstream refused server/discover (${error["code"]}); it supports ${offered.join(", ") || "nothing it names"}.`,
    { phase: "response_received", rpcCode: Number(error["code"]) },
  );
}

/** The revision to use with a server, from its `server/discover` result. */
export function modernVerdict(handshake: JsonObject, asked: string): ProbeVerdict {
  const supported = handshake["supportedVersions"];
  if (!Array.isArray(supported) || supported.includes(asked)) {
    return { era: "modern", protocolVersion: asked, handshake };
  }
  const common = SUPPORTED_REVISIONS.find((version) => supported.includes(version));
  if (common === undefined) throw protocolError(`The upstream supports only ${supported.join(", ")}.`);
  if (isModernRevision(common)) return { era: "modern", protocolVersion: common, handshake };
  return { era: "legacy", evidence: `the upstream supports ${supported.join(", ")}` };
}

/** What `initialize` brought. */
export interface InitializeOutcome {
  readonly protocolVersion: string;
  readonly handshake: JsonObject;
  readonly sessionId: string | undefined;
}

/** The `params` of `initialize`. */
export function initializeParams(options: OpenOptions): string {
  const { clientInfo, capabilities } = options;
  return JSON.stringify({ protocolVersion: requestedLegacy(options), capabilities, clientInfo });
}

/** The revision that a legacy handshake asks for. */
export function requestedLegacy(options: OpenOptions): string {
  const requested = options.protocolVersion;
  return requested !== undefined && isLegacyRevision(requested) ? requested : LATEST_LEGACY;
}

/** Reads the answer to `initialize`. @throws UpstreamError when the server refuses or picks an unknown revision */
export function readInitialize(answer: UpstreamAnswer): {
  readonly protocolVersion: string;
  readonly handshake: JsonObject;
} {
  const value = answer.value();
  if (answer.kind === "error") {
    throw new UpstreamError(
      "upstream_protocol",
      `The upstream refused initialize: ${String(value["message"])}`,
      {
        phase: "response_received",
        httpStatus: answer.httpStatus,
        rpcCode: Number(value["code"]),
      },
    );
  }
  const { protocolVersion } = value as { protocolVersion?: unknown };
  if (typeof protocolVersion !== "string" || !isLegacyRevision(protocolVersion)) {
    throw protocolError(
      `The upstream chose protocol revision '${String(protocolVersion)}', which is unknown.`,
    );
  }
  return { protocolVersion, handshake: value };
}

/** Does the legacy handshake's first step. @throws UpstreamError */
export async function initializeHttp(
  context: HandshakeContext,
  options: OpenOptions,
): Promise<InitializeOutcome> {
  const { clientInfo, capabilities } = options;
  const protocolVersion = requestedLegacy(options);
  const profile: SpeakerProfile = { era: "legacy", protocolVersion, clientInfo, capabilities };
  const params = initializeParams(options);
  const { answer, headers } = await call(context, options, "initialize", params, profile, CONTENT);
  return { ...readInitialize(answer), sessionId: responseHeader(headers, "mcp-session-id") };
}

function call(
  context: HandshakeContext,
  options: OpenOptions,
  method: string,
  params: string | undefined,
  profile: SpeakerProfile,
  headers: readonly string[],
): Promise<HttpCallResult> {
  const { connection, limits, counters } = context;
  const id = counters.nextId++;
  return new HttpCall(connection, {
    idText: String(id),
    headers,
    body: encodeRequest({ method, params }, id, profile).body,
    signal: options.signal,
    timeoutMs: limits.handshakeTimeoutMs,
    maxAnswerBytes: limits.maxAnswerBytes,
    longLived: false,
    inSession: false,
    resumeHeaders: undefined,
    progressToken: undefined,
    onMessage: undefined,
  }).run();
}
