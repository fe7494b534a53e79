import { mirroredMember } from "../check-headers.ts";
import { JsonCursor, ScanError } from "../json-cursor.ts";
import type { JsonObject, ParamsSpans } from "../message.ts";
import { removedMembers } from "../removed-members.ts";
import { type Era, META, RESERVED_META_PREFIX } from "../revisions.ts";
import { type Envelope, scanParams } from "../scan-envelope.ts";
import { type Edit, type Span, splice, textOf } from "../splice.ts";
import type { Implementation, UpstreamRequest } from "./upstream.ts";
import { UpstreamError } from "./upstream-error.ts";

/** Who speaks, for requests that carry no envelope of their own. */
export interface SpeakerProfile {
  readonly era: Era;
  readonly protocolVersion: string;
  readonly clientInfo: Implementation;
  readonly capabilities: JsonObject;
}

/** A request ready for the wire. */
export interface EncodedRequest {
  readonly body: string | Buffer;
  /** Raw text of the caller's progress token, when it set one; ours is the request's id. */
  readonly progressToken: string | undefined;
  /** `name`, `uri` or `taskId` of the body, for `Mcp-Name`. */
  readonly name: string | undefined;
  /** The revision that the body claims, for `MCP-Protocol-Version`. */
  readonly protocolVersion: string;
}

/** Deepest nesting of what we send; what came in through `parseMessage` is shallower. */
const MAX_DEPTH = 1024;

/**
 * Writes the JSON-RPC message of a request. `params` go on as they came, except: the progress token becomes the
 * request's id, a modern envelope is added where it is missing, reserved `_meta` keys are
 * removed for legacy upstreams.
 *
 * @throws UpstreamError `not_sent` when `params` is not a JSON object
 */
export function encodeRequest(
  request: UpstreamRequest,
  id: number | undefined,
  profile: SpeakerProfile,
): EncodedRequest {
  const { method, extras } = request;
  const head = id === undefined ? '{"jsonrpc":"2.0"' : `{"jsonrpc":"2.0","id":${id}`;
  const opening = `${head},"method":${JSON.stringify(method)}${extras === undefined ? "" : `,${extras}`}`;
  const prepared = prepareParams(request, id, profile);
  return {
    body: encodeBody(opening, prepared),
    progressToken: prepared.progressToken,
    name: prepared.name,
    protocolVersion: prepared.protocolVersion ?? profile.protocolVersion,
  };
}

function encodeBody(opening: string, { params, edits }: Prepared): string | Buffer {
  if (params === undefined) return `${opening}}`;
  if (typeof params === "string") return `${opening},"params":${params}}`;
  if (edits === undefined || edits.length === 0) return withParams(`${opening},"params":`, params);
  // Edited and put into the message in one go.
  const front: Edit = { start: 0, end: 0, text: `${opening},"params":` };
  return splice(params, [front, ...edits, { start: params.length, end: params.length, text: "}" }]);
}

/** The message in one piece: its opening, the params as they are, and the closing brace. */
function withParams(opening: string, params: Buffer): Buffer {
  const at = Buffer.byteLength(opening);
  const body = Buffer.allocUnsafe(at + params.length + 1);
  body.write(opening);
  params.copy(body, at);
  body[body.length - 1] = CLOSING_BRACE;
  return body;
}

const CLOSING_BRACE = 0x7d;
const TOKEN_KEY = Buffer.from('"progressToken"');
const RESERVED_KEY = Buffer.from(RESERVED_META_PREFIX);

interface Prepared {
  readonly params: string | Buffer | undefined;
  /** What is to change in the bytes of `params`. */
  readonly edits?: readonly Edit[];
  readonly progressToken?: string | undefined;
  readonly name?: string | undefined;
  readonly protocolVersion?: string | undefined;
}

function prepareParams(request: UpstreamRequest, id: number | undefined, profile: SpeakerProfile): Prepared {
  const { params } = request;
  const modern = profile.era === "modern";
  if (params === undefined || params.length === 0) {
    return modern ? { params: `{"_meta":{${envelopeOf(profile)}}}` } : { params: undefined };
  }
  const bytes = typeof params === "string" ? Buffer.from(params) : params;
  if (!modern && !bytes.includes(RESERVED_KEY) && !(id !== undefined && bytes.includes(TOKEN_KEY))) {
    return { params };
  }
  const { spans, start } = scan(bytes);
  const edits: Edit[] = [];
  let progressToken: string | undefined;
  if (spans.progressToken && id !== undefined) {
    progressToken = textOf(bytes, spans.progressToken);
    edits.push({ ...spans.progressToken, text: String(id) });
  }
  if (modern && spans.protocolVersion === undefined) edits.push(envelopeEdit(bytes, spans, start, profile));
  if (!modern) edits.push(...strippedMembers(bytes, spans.meta));
  if (edits.length > 1) edits.sort((left, right) => left.start - right.start);
  const member = mirroredMember(request.method);
  const nameSpan = member && spans[member];
  const version = modern && spans.protocolVersion ? stringAt(bytes, spans.protocolVersion) : undefined;
  return {
    params: edits.length === 0 ? params : bytes,
    edits,
    progressToken,
    name: nameSpan && stringAt(bytes, nameSpan),
    protocolVersion: version,
  };
}

function scan(bytes: Buffer): { readonly spans: ParamsSpans; readonly start: number } {
  const cursor = new JsonCursor(bytes, 0, MAX_DEPTH);
  const found: Envelope = {};
  try {
    cursor.peek();
    const start = cursor.at;
    scanParams(cursor, found);
    if (found.spans) return { spans: found.spans, start };
  } catch (error) {
    if (!(error instanceof ScanError)) throw error;
  }
  throw new UpstreamError("upstream_protocol", "params must be a JSON object.", { phase: "not_sent" });
}

function stringAt(bytes: Buffer, span: Span): string | undefined {
  const value: unknown = JSON.parse(textOf(bytes, span));
  return typeof value === "string" ? value : undefined;
}

/** The envelope's members that `spans` does not have yet. */
function envelopeOf(profile: SpeakerProfile, spans: ParamsSpans = {}): string {
  const members = [`"${META.protocolVersion}":${JSON.stringify(profile.protocolVersion)}`];
  if (!spans.clientInfo) members.push(`"${META.clientInfo}":${JSON.stringify(profile.clientInfo)}`);
  if (!spans.clientCapabilities) {
    members.push(`"${META.clientCapabilities}":${JSON.stringify(profile.capabilities)}`);
  }
  return members.join(",");
}

function envelopeEdit(bytes: Buffer, spans: ParamsSpans, start: number, profile: SpeakerProfile): Edit {
  const envelope = envelopeOf(profile, spans);
  const at = (spans.meta?.start ?? start) + 1;
  const comma = new JsonCursor(bytes, at, MAX_DEPTH).peek() === 0x7d ? "" : ",";
  return { start: at, end: at, text: spans.meta ? envelope + comma : `"_meta":{${envelope}}${comma}` };
}

const isReserved = (cursor: JsonCursor) => cursor.keyStartsWith(RESERVED_META_PREFIX);

/** Edits that remove the reserved members of `_meta`, commas included. */
export function strippedMembers(bytes: Buffer, meta: Span | undefined): Edit[] {
  return meta === undefined ? [] : removedMembers(bytes, meta, isReserved);
}
