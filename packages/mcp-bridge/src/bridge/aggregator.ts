import type { z } from "zod";
import { WireError } from "../errors.ts";
import type { NotificationMessage, RequestMessage } from "../message.ts";
import { parseOptions } from "../parse-options.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import { type AggregatorOptions, aggregatorSchema } from "./aggregator-options.ts";
import { ExposedNames, type NamedItem } from "./exposed-names.ts";
import { ExposedUris } from "./exposed-uris.ts";
import { ListCopies, type ListPart, type ListSubject } from "./list-copies.ts";
import { type ListMethod, type ListShape, listShape } from "./list-page.ts";
import {
  exposeAnswer,
  exposedName,
  exposeNotification,
  locateItem,
  type RoutedRequest,
  routeRequest,
} from "./rewrite.ts";
import { createSealer, type Sealer } from "./sealer.ts";

/** Whose list, which page. */
export interface ListRequest {
  readonly method: ListMethod;
  /** The client's cursor. */
  readonly cursor?: string | undefined;
  /** Adds `resultType`, `ttlMs` and `cacheScope`. */
  readonly modern: boolean;
  /** Whoever may see the same lists; binds cursors and copies. */
  readonly scope: string;
  /**
   * Who alone may see the list of an upstream, where it depends on who asks: told to `call`, and part of the key of its
   * copy, which is private. Default: all of the scope see the same.
   */
  readonly viewer?: ((upstreamId: string) => string | undefined) | undefined;
  /** Handed to `call`. */
  readonly context?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** Key of `_meta` under which the upstreams are named whose items are old or missing. */
export const UPSTREAMS_META = "io.gatewright/upstreams";

/** Many upstreams as one: names, lists, and rewriting of everything that carries an identity. */
export interface Aggregator {
  /**
   * One page of a merged list as raw JSON of its result. Upstreams are asked in parallel; one that fails shows its
   * last good items and is named in `_meta`.
   *
   * @throws WireError `invalid_params` for a cursor that is not ours
   */
  list(request: ListRequest): Promise<string>;
  /**
   * Where a request goes and with which params; `undefined` when it names nothing that is here.
   * Lists an upstream first when a shortened name is not known in this process yet.
   */
  route(
    message: RequestMessage,
    options: Omit<ListRequest, "method" | "cursor" | "modern">,
  ): Promise<RoutedRequest | undefined>;
  /** The upstream's own item that a request names; `undefined` as for {@link Aggregator.route}. */
  locate(
    message: RequestMessage,
    options: Omit<ListRequest, "method" | "cursor" | "modern">,
  ): Promise<NamedItem | undefined>;
  /** An upstream's answer with its URIs in exposed form; the same one when there is nothing to change. */
  exposeAnswer(upstreamId: string, method: string, answer: UpstreamAnswer): UpstreamAnswer;
  /** An upstream's notification with its URIs in exposed form; the same one when there is nothing to change. */
  exposeNotification(upstreamId: string, message: NotificationMessage): NotificationMessage;
  /** The exposed name of a tool or prompt. */
  exposeName(item: NamedItem): string;
  /** The exposed form of a URI or URI template. */
  exposeUri(item: NamedItem): string;
  /** The item behind an exposed name. */
  resolveName(exposed: string): NamedItem | undefined;
  /** The upstream and its own URI behind an exposed one. */
  resolveUri(exposed: string): NamedItem | undefined;
  /** Copies of an upstream's lists are no longer fresh: call it on its change notifications. */
  outdate(upstreamId: string): void;
}

/** What {@link createAggregator} takes from outside. */
export interface AggregatorDeps {
  /** Monotonic milliseconds. Default `performance.now`. */
  readonly now?: () => number;
}

/**
 * Aggregates upstreams. Immutable in its upstreams: make a new one when they change.
 *
 * @throws OptionsError for unknown or wrong options, RangeError for a short secret or `plain` with several upstreams
 */
export function createAggregator(options: AggregatorOptions, deps: AggregatorDeps = {}): Aggregator {
  const parsed = parseOptions(aggregatorSchema, options);
  if (parsed.names === "plain" && parsed.upstreams.length > 1) {
    throw new RangeError("Names can be left plain for one upstream only.");
  }
  return new AggregatedUpstreams(parsed, deps.now ?? (() => performance.now()));
}

interface CursorState {
  readonly upstream: string;
  /** Items of that upstream which were shown already. */
  readonly offset: number;
  /** Name of the last one, so that a list which changed meanwhile is continued behind it. */
  readonly last: string;
}

class AggregatedUpstreams implements Aggregator {
  readonly #options: z.output<typeof aggregatorSchema>;
  readonly #names: ExposedNames;
  readonly #uris: ExposedUris;
  readonly #copies: ListCopies;
  readonly #sealer: Sealer;
  readonly #order: readonly string[];
  readonly #now: () => number;

  constructor(options: z.output<typeof aggregatorSchema>, now: () => number) {
    const { upstreams, separator, maxNameLength, secret, previousSecrets } = options;
    this.#options = options;
    this.#now = now;
    this.#names = new ExposedNames(upstreams, { separator, maxLength: maxNameLength });
    this.#uris = new ExposedUris(this.#names);
    this.#order = this.#names.upstreamIds();
    this.#sealer = createSealer({ secret, previousSecrets, label: "cursor" });
    this.#copies = new ListCopies({
      ...options,
      deadlineMs: options.listDeadlineMs,
      stored: options.stored,
      now,
    });
  }

  async list(request: ListRequest): Promise<string> {
    const { method, cursor, signal } = request;
    const shape = listShape(method);
    if (shape === undefined) throw new WireError("invalid_params", `${method} is no list.`);
    const from = cursor === undefined ? undefined : this.#openCursor(cursor, request);
    // In the order of ids, so that a cursor whose upstream is gone goes on with the next one.
    const ids = from === undefined ? this.#order : this.#order.filter((id) => id >= from.upstream);
    const parts = await Promise.all(
      ids.map((id) => this.#copies.part(id, subjectOf(method, request, id), signal)),
    );
    return this.#merge(request, shape, parts, from);
  }

  async route(
    message: RequestMessage,
    options: Omit<ListRequest, "method" | "cursor" | "modern">,
  ): Promise<RoutedRequest | undefined> {
    await this.#learnNames(message, options);
    return routeRequest(message, this);
  }

  async locate(
    message: RequestMessage,
    options: Omit<ListRequest, "method" | "cursor" | "modern">,
  ): Promise<NamedItem | undefined> {
    await this.#learnNames(message, options);
    return locateItem(message, this);
  }

  exposeAnswer(upstreamId: string, method: string, answer: UpstreamAnswer): UpstreamAnswer {
    if (this.#options.names === "plain") return answer;
    return exposeAnswer(answer, method, (name) => this.#uris.expose({ upstreamId, name }));
  }

  exposeNotification(upstreamId: string, message: NotificationMessage): NotificationMessage {
    if (this.#options.names === "plain") return message;
    return exposeNotification(message, (name) => this.#uris.expose({ upstreamId, name }));
  }

  exposeName(item: NamedItem): string {
    return this.#options.names === "plain" ? item.name : this.#names.expose(item);
  }

  exposeUri(item: NamedItem): string {
    return this.#options.names === "plain" ? item.name : this.#uris.expose(item);
  }

  resolveName(exposed: string): NamedItem | undefined {
    return this.#options.names === "plain" ? this.#only(exposed) : this.#names.resolve(exposed);
  }

  resolveUri(exposed: string): NamedItem | undefined {
    return this.#options.names === "plain" ? this.#only(exposed) : this.#uris.resolve(exposed);
  }

  outdate(upstreamId: string): void {
    this.#copies.outdate(upstreamId);
  }

  #only(name: string): NamedItem | undefined {
    const [upstreamId] = this.#order;
    return upstreamId === undefined ? undefined : { upstreamId, name };
  }

  /** Reads the list that a shortened name is in. */
  async #learnNames(
    message: RequestMessage,
    options: Omit<ListRequest, "method" | "cursor" | "modern">,
  ): Promise<void> {
    const exposed = exposedName(message);
    if (exposed === undefined || this.#options.names === "plain" || !this.#names.needsTable(exposed)) return;
    const owner = this.#names.resolve(exposed);
    if (owner === undefined) return;
    const list: ListMethod = message.method === "tools/call" ? "tools/list" : "prompts/list";
    const subject = subjectOf(list, options, owner.upstreamId);
    const part = await this.#copies.part(owner.upstreamId, subject, options.signal);
    if (part.state === "unavailable") return;
    for (const { name } of part.copy.items) this.#names.expose({ upstreamId: owner.upstreamId, name });
  }

  #merge(
    request: ListRequest,
    shape: ListShape,
    parts: readonly ListPart[],
    from: CursorState | undefined,
  ): string {
    const { pageSize } = this.#options;
    const items: string[] = [];
    let next: CursorState | undefined;
    for (const part of parts) {
      if (part.state === "unavailable" || next !== undefined) continue;
      const { upstreamId, copy } = part;
      const start = from?.upstream === upstreamId ? resumeAt(copy.items, from) : 0;
      const shown = copy.items.slice(start, start + pageSize - items.length);
      for (const { name, before, after } of shown) {
        const item = { upstreamId, name };
        const exposed = shape.key === "name" ? this.exposeName(item) : this.exposeUri(item);
        items.push(before + JSON.stringify(exposed) + after);
      }
      const end = start + shown.length;
      const last = shown.at(-1)?.name ?? "";
      const more = end < copy.items.length || part !== parts.at(-1);
      if (items.length >= pageSize && more) next = { upstream: upstreamId, offset: end, last };
    }
    const members = [`"${shape.field}":[${items.join(",")}]`];
    if (next) members.push(`"nextCursor":${JSON.stringify(this.#sealer.seal(next, bindingOf(request)))}`);
    if (request.modern) members.push(...cacheHints(parts, this.#now()));
    const flagged = this.#flags(parts);
    if (flagged !== undefined) members.push(`"_meta":{"${UPSTREAMS_META}":${flagged}}`);
    return `{${members.join(",")}}`;
  }

  #flags(parts: readonly ListPart[]): string | undefined {
    const failed = parts.filter((part) => part.state !== "fresh");
    if (failed.length === 0) return undefined;
    const entries = failed.map(({ upstreamId, state, code }) => [
      this.#names.slugOf(upstreamId),
      { state, code },
    ]);
    return JSON.stringify(Object.fromEntries(entries));
  }

  #openCursor(cursor: string, request: ListRequest): CursorState {
    const state = this.#sealer.open(cursor, bindingOf(request)) as CursorState | undefined;
    if (state === undefined) throw new WireError("invalid_params", "The cursor is not valid.");
    return state;
  }
}

/** Where a list goes on: behind the item shown last, or, when that is gone, at the same place. */
function resumeAt(items: readonly { readonly name: string }[], from: CursorState): number {
  const { offset, last } = from;
  if (items[offset - 1]?.name === last) return offset;
  const found = items.findIndex((item) => item.name === last);
  return found < 0 ? Math.min(offset, items.length) : found + 1;
}

function subjectOf(
  method: ListMethod,
  { scope, context, viewer }: Pick<ListRequest, "scope" | "context" | "viewer">,
  upstreamId: string,
): ListSubject {
  return { method, scope, context, viewer: viewer?.(upstreamId) };
}

function bindingOf(request: ListRequest): string {
  return JSON.stringify([request.method, request.scope]);
}

/**
 * `ttlMs` is the smallest that is left of any part, `cacheScope` private if any is; a part that failed may change any
 * time.
 */
function cacheHints(parts: readonly ListPart[], now: number): string[] {
  const ttls = parts.map((part) => {
    return part.state === "fresh" ? Math.max(0, Math.floor(part.copy.at + part.copy.ttlMs - now)) : 0;
  });
  const ttlMs = parts.length === 0 ? 0 : Math.min(...ttls);
  const shared = parts.every((part) => part.state === "fresh" && part.copy.cacheScope === "public");
  return ['"resultType":"complete"', `"ttlMs":${ttlMs}`, `"cacheScope":"${shared ? "public" : "private"}"`];
}
