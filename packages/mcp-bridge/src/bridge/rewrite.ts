import { findSpans, type SpanPattern } from "../find-spans.ts";
import { ScanError } from "../json-cursor.ts";
import type { NotificationMessage, RequestMessage } from "../message.ts";
import { parseMessage } from "../parse-message.ts";
import { type Edit, type Span, splice, textOf } from "../splice.ts";
import { protocolError, type UpstreamAnswer } from "../upstream/answer.ts";
import type { NamedItem } from "./exposed-names.ts";

/** A request for one upstream. */
export interface RoutedRequest {
  readonly upstreamId: string;
  /** The upstream's own name or URI. */
  readonly name: string;
  /** The request's `params`, the exposed identity replaced by the upstream's own. */
  readonly params: Buffer;
}

/** The way back from exposed identities. */
export interface Resolver {
  resolveName(exposed: string): NamedItem | undefined;
  resolveUri(exposed: string): NamedItem | undefined;
}

const BY_NAME: ReadonlySet<string> = new Set(["tools/call", "prompts/get"]);
const BY_URI: ReadonlySet<string> = new Set([
  "resources/read",
  "resources/subscribe",
  "resources/unsubscribe",
]);

/** Where a request carries an identity, and of which kind. */
interface Identity {
  readonly kind: "name" | "uri";
  readonly span: Span;
  readonly text: string;
}

/** The exposed name of the tool or prompt that a request is about. */
export function exposedName(message: RequestMessage): string | undefined {
  const identity = identityOf(message);
  return identity?.kind === "name" ? identity.text : undefined;
}

/** The upstream's own item that a request names. */
export function locateItem(message: RequestMessage, resolver: Resolver): NamedItem | undefined {
  const identity = identityOf(message);
  return identity && resolve(identity, resolver);
}

/** Finds the upstream that a request is for and replaces the identity in its params. */
export function routeRequest(message: RequestMessage, resolver: Resolver): RoutedRequest | undefined {
  const { bytes, paramsSpan } = message;
  const identity = identityOf(message);
  if (identity === undefined || paramsSpan === undefined) return undefined;
  const item = resolve(identity, resolver);
  if (item === undefined) return undefined;
  const params = bytes.subarray(paramsSpan.start, paramsSpan.end);
  if (item.name === identity.text) return { ...item, params };
  const edit: Edit = {
    start: identity.span.start - paramsSpan.start,
    end: identity.span.end - paramsSpan.start,
    text: JSON.stringify(item.name),
  };
  return { ...item, params: splice(params, [edit]) };
}

function resolve({ kind, text }: Identity, resolver: Resolver): NamedItem | undefined {
  return kind === "name" ? resolver.resolveName(text) : resolver.resolveUri(text);
}

function identityOf(message: RequestMessage): Identity | undefined {
  const { method, spans, bytes } = message;
  if (BY_NAME.has(method)) return identityAt(bytes, spans.name, "name");
  if (BY_URI.has(method)) return identityAt(bytes, spans.uri, "uri");
  if (method !== "completion/complete" || spans.ref === undefined) return undefined;
  const kind = refType(message) === "ref/prompt" ? "name" : "uri";
  const [span] = findSpans(bytes, { [kind]: true }, spans.ref.start);
  return identityAt(bytes, span, kind);
}

function identityAt(bytes: Buffer, span: Span | undefined, kind: "name" | "uri"): Identity | undefined {
  const text: unknown = span && JSON.parse(textOf(bytes, span));
  return span !== undefined && typeof text === "string" ? { kind, span, text } : undefined;
}

function refType(message: RequestMessage): unknown {
  const ref = message.params?.["ref"];
  return typeof ref === "object" && ref !== null ? (ref as { type?: unknown }).type : undefined;
}

const CONTENT: SpanPattern = { uri: true, resource: { uri: true } };

/** Where the answers of a method carry URIs. */
const ANSWER_URIS: { readonly [method: string]: SpanPattern } = {
  "tools/call": { result: { content: { "*": CONTENT } } },
  "prompts/get": { result: { messages: { "*": { content: { ...CONTENT, "*": CONTENT } } } } },
  "resources/read": { result: { contents: { "*": { uri: true } } }, error: { data: { uri: true } } },
};

/**
 * An answer whose URIs went through `expose`; every other byte as it came.
 *
 * @throws UpstreamError `upstream_protocol` when the answer is no valid JSON where it is read, or nests too deep
 */
export function exposeAnswer(
  answer: UpstreamAnswer,
  method: string,
  expose: (uri: string) => string,
): UpstreamAnswer {
  const { bytes } = answer;
  const pattern = Object.hasOwn(ANSWER_URIS, method) ? ANSWER_URIS[method] : undefined;
  if (pattern === undefined || !bytes.includes('"uri"')) return answer;
  return answer.edited(editsOf(answer, pattern, expose));
}

/** What has to change of an answer; nobody has parsed it yet. */
function editsOf(answer: UpstreamAnswer, pattern: SpanPattern, expose: (uri: string) => string): Edit[] {
  const { bytes, httpStatus } = answer;
  try {
    return exposedSpans(bytes, findSpans(bytes, pattern), expose);
  } catch (cause) {
    if (!(cause instanceof ScanError) && !(cause instanceof SyntaxError)) throw cause;
    throw protocolError("The upstream's answer is not valid JSON, or nests too deep.", httpStatus, cause);
  }
}

const NOTIFIED_URIS: { readonly [method: string]: SpanPattern } = {
  "notifications/resources/updated": { params: { uri: true } },
  "notifications/subscriptions/acknowledged": {
    params: { notifications: { resourceSubscriptions: { "*": true } } },
  },
};

/** A notification whose URIs went through `expose`. */
export function exposeNotification(
  message: NotificationMessage,
  expose: (uri: string) => string,
): NotificationMessage {
  const { bytes, method } = message;
  const pattern = Object.hasOwn(NOTIFIED_URIS, method) ? NOTIFIED_URIS[method] : undefined;
  if (pattern === undefined) return message;
  const exposed = parseMessage(splice(bytes, exposedSpans(bytes, findSpans(bytes, pattern), expose)));
  return exposed.kind === "notification" ? exposed : message;
}

function exposedSpans(bytes: Buffer, spans: readonly Span[], expose: (uri: string) => string): Edit[] {
  return spans.flatMap((span) => {
    const uri: unknown = JSON.parse(textOf(bytes, span));
    return typeof uri === "string" ? [{ ...span, text: JSON.stringify(expose(uri)) }] : [];
  });
}
