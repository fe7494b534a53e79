import { JsonCursor } from "../json-cursor.ts";
import { removedMembers } from "../removed-members.ts";
import { META } from "../revisions.ts";
import { type Envelope, scanParams } from "../scan-envelope.ts";
import { type Edit, type Span, splice, textOf } from "../splice.ts";

/** Depth of texts that were read before. */
const MAX_DEPTH = 1024;

/** The members of an object by key: raw text of each value. Of doubled keys the last. */
export function membersOf(bytes: Buffer, object: Span): Map<string, string> {
  const members = new Map<string, string>();
  const cursor = new JsonCursor(bytes, object.start, MAX_DEPTH);
  if (!cursor.enter("{")) return members;
  while (cursor.nextMember()) {
    const key = cursor.key();
    const start = cursor.at;
    cursor.skipValue();
    members.set(key, bytes.toString("utf8", start, cursor.at));
  }
  return members;
}

/** An edit that inserts raw members directly behind the opening brace at `start`. */
export function insertMembers(bytes: Buffer, start: number, members: readonly string[]): Edit {
  const comma = new JsonCursor(bytes, start + 1, MAX_DEPTH).peek() === 0x7d ? "" : ",";
  return { start: start + 1, end: start + 1, text: members.join(",") + comma };
}

/** What to add to a request's params. Values are raw JSON. */
export interface ParamsAddition {
  readonly inputResponses?: string | undefined;
  readonly requestState?: string | undefined;
  /** Members of `_meta`. */
  readonly meta: { readonly [key: string]: string };
}

/** The raw params of a request with members added; those of `_meta` that are there already win. */
export function extendParams(params: Buffer | undefined, addition: ParamsAddition): Buffer {
  const bytes = params ?? EMPTY;
  const found: Envelope = {};
  const cursor = new JsonCursor(bytes, 0, MAX_DEPTH);
  cursor.peek();
  const { at: start } = cursor;
  scanParams(cursor, found);
  const { meta: present } = found.spans ?? {};
  const known = present ? membersOf(bytes, present) : undefined;
  const meta: string[] = [];
  for (const [key, value] of Object.entries(addition.meta)) {
    if (!known?.has(key)) meta.push(`${JSON.stringify(key)}:${value}`);
  }
  const members: string[] = [];
  if (addition.inputResponses !== undefined) members.push(`"inputResponses":${addition.inputResponses}`);
  if (addition.requestState !== undefined) members.push(`"requestState":${addition.requestState}`);
  if (!present && meta.length > 0) members.push(`"_meta":{${meta.join(",")}}`);
  const edits: Edit[] = [];
  if (members.length > 0) edits.push(insertMembers(bytes, start, members));
  if (present && meta.length > 0) edits.push(insertMembers(bytes, present.start, meta));
  return splice(bytes, edits);
}

const EMPTY = Buffer.from("{}");

/** The raw params of a request without some of their members; the same where none of them is there. */
export function withoutMembers(
  params: string | Buffer | undefined,
  names: readonly string[],
): string | Buffer | undefined {
  if (params === undefined || !names.some((name) => params.includes(name))) return params;
  const bytes = typeof params === "string" ? Buffer.from(params) : params;
  const cursor = new JsonCursor(bytes, 0, MAX_DEPTH);
  cursor.peek();
  const start = cursor.at;
  cursor.skipValue();
  return splice(
    bytes,
    removedMembers(bytes, { start, end: cursor.at }, (at) => names.some((name) => at.keyIs(name))),
  );
}

/** The raw text of a request's params. */
export function paramsText(message: {
  readonly bytes: Buffer;
  readonly paramsSpan?: Span;
}): string | undefined {
  return message.paramsSpan && textOf(message.bytes, message.paramsSpan);
}

/** The raw bytes of a request's params. */
export function paramsBytes(message: {
  readonly bytes: Buffer;
  readonly paramsSpan?: Span;
}): Buffer | undefined {
  const { bytes, paramsSpan } = message;
  return paramsSpan && bytes.subarray(paramsSpan.start, paramsSpan.end);
}

/** The modern envelope as raw members of `_meta`. */
export function envelopeMembers(
  protocolVersion: string,
  client: { readonly clientInfo: unknown; readonly capabilities: unknown },
  logLevel: string | undefined,
): { readonly [key: string]: string } {
  return {
    [META.protocolVersion]: JSON.stringify(protocolVersion),
    [META.clientInfo]: JSON.stringify(client.clientInfo),
    [META.clientCapabilities]: JSON.stringify(client.capabilities),
    ...(logLevel !== undefined && { [META.logLevel]: JSON.stringify(logLevel) }),
  };
}
