import { findSpans, type SpanPattern } from "../find-spans.ts";
import type { NotificationMessage, RequestMessage } from "../message.ts";
import { type Edit, type Span, splice, textOf } from "../splice.ts";
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

/** Finds the upstream that a request is for and replaces the identity in its params. */
export function routeRequest(message: RequestMessage, resolver: Resolver): RoutedRequest | undefined {
  const { method, spans } = message;
  if (BY_NAME.has(method)) return routeBy(message, spans.name, (name) => resolver.resolveName(name));
  if (BY_URI.has(method)) return routeBy(message, spans.uri, (uri) => resolver.resolveUri(uri));
  if (method !== "completion/complete" || spans.ref === undefined) return undefined;
  const { start } = spans.ref;
  const [name] = findSpans(message.bytes, { name: true }, start);
  if (refType(message) === "ref/prompt") return routeBy(message, name, (text) => resolver.resolveName(text));
  const [uri] = findSpans(message.bytes, { uri: true }, start);
  return routeBy(message, uri, (text) => resolver.resolveUri(text));
}

function refType(message: RequestMessage): unknown {
  const ref = message.params?.["ref"];
  return typeof ref === "object" && ref !== null ? (ref as { type?: unknown }).type : undefined;
}

function routeBy(
  message: RequestMessage,
  span: Span | undefined,
  resolve: (exposed: string) => NamedItem | undefined,
): RoutedRequest | undefined {
  const { bytes, paramsSpan } = message;
  const exposed: unknown = span && JSON.parse(textOf(bytes, span));
  if (span === undefined || paramsSpan === undefined || typeof exposed !== "string") return undefined;
  const item = resolve(exposed);
  if (item === undefined) return undefined;
  const params = bytes.subarray(paramsSpan.start, paramsSpan.end);
  if (item.name === exposed) return { ...item, params };
  const edit: Edit = {
    start: span.start - paramsSpan.start,
    end: span.end - paramsSpan.start,
    text: JSON.stringify(item.name),
  };
  return { ...item, params: splice(params, [edit]) };
}

const CONTENT: SpanPattern = { uri: true, resource: { uri: true } };

/** Where the answers of a method carry URIs. */
const ANSWER_URIS: { readonly [method: string]: SpanPattern } = {
  "tools/call": { result: { content: { "*": CONTENT } } },
  "prompts/get": { result: { messages: { "*": { content: { ...CONTENT, "*": CONTENT } } } } },
  "resources/read": { result: { contents: { "*": { uri: true } } } },
};

/** An answer whose URIs went through `expose`; every other byte as it came. */
export function exposeAnswer(bytes: Buffer, method: string, expose: (uri: string) => string): Buffer {
  const pattern = Object.hasOwn(ANSWER_URIS, method) ? ANSWER_URIS[method] : undefined;
  if (pattern === undefined || !bytes.includes('"uri"')) return bytes;
  return splice(bytes, exposedSpans(bytes, findSpans(bytes, pattern), expose));
}

const NOTIFIED_URIS: { readonly [method: string]: SpanPattern } = {
  "notifications/resources/updated": { params: { uri: true } },
  "notifications/subscriptions/acknowledged": {
    params: { notifications: { resourceSubscriptions: { "*": true } } },
  },
};

/** A notification whose URIs went through `expose`. */
export function exposeNotification(message: NotificationMessage, expose: (uri: string) => string): Buffer {
  const { bytes, method } = message;
  const pattern = Object.hasOwn(NOTIFIED_URIS, method) ? NOTIFIED_URIS[method] : undefined;
  if (pattern === undefined) return bytes;
  return splice(bytes, exposedSpans(bytes, findSpans(bytes, pattern), expose));
}

function exposedSpans(bytes: Buffer, spans: readonly Span[], expose: (uri: string) => string): Edit[] {
  return spans.flatMap((span) => {
    const uri: unknown = JSON.parse(textOf(bytes, span));
    return typeof uri === "string" ? [{ ...span, text: JSON.stringify(expose(uri)) }] : [];
  });
}
