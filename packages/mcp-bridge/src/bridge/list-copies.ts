import type { JsonObject } from "../message.ts";
import { orAborted } from "../upstream/abort.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import { type ListedItem, type ListMethod, listShape, readItems, readListPage } from "./list-page.ts";

/** Asks one upstream for one page. */
export type ListCall = (
  upstreamId: string,
  request: { readonly method: ListMethod; readonly params: string },
  options: {
    readonly signal: AbortSignal;
    readonly context: unknown;
    /** Whose list it is, where it is one person's own. */
    readonly viewer: string | undefined;
  },
) => Promise<UpstreamAnswer>;

/** The last items of an upstream that were kept elsewhere; undefined when there are none. */
export type StoredItems = (upstreamId: string, method: ListMethod) => readonly JsonObject[] | undefined;

/** Options of {@link ListCopies}. */
export interface ListCopiesOptions {
  readonly call: ListCall;
  readonly deadlineMs: number;
  readonly maxPages: number;
  readonly maxItems: number;
  /** Most lists kept. */
  readonly maxCopies: number;
  readonly freshMs: number;
  readonly failureHoldMs: number;
  readonly stored: StoredItems | undefined;
  readonly now: () => number;
}

/** The whole list of one upstream at one time. */
export interface ListCopy {
  readonly items: readonly ListedItem[];
  readonly ttlMs: number;
  readonly cacheScope: "public" | "private";
  readonly at: number;
}

/** One upstream's part of a merged list. */
export type ListPart =
  | { readonly state: "fresh"; readonly upstreamId: string; readonly copy: ListCopy }
  | { readonly state: "stale"; readonly upstreamId: string; readonly copy: ListCopy; readonly code: string }
  | { readonly state: "unavailable"; readonly upstreamId: string; readonly code: string };

/** A list that is being read. */
interface Fetch {
  readonly at: number;
  readonly copy: Promise<ListCopy>;
}

/** What to list, and for whom. */
export interface ListSubject {
  readonly method: ListMethod;
  /** Whoever may see the same lists: part of the key under which copies are kept. */
  readonly scope: string;
  /** Who alone may see it. */
  readonly viewer: string | undefined;
  readonly context: unknown;
}

/**
 * Lists of upstreams, each fetched whole within a deadline, one fetch for all who wait, and kept: fresh ones are
 * used again as long as the upstream allows, the last good one stands in when the upstream fails. Nobody who asks after a
 * change is given what was read, or began to be read, before it.
 */
export class ListCopies {
  readonly #options: ListCopiesOptions;
  readonly #copies = new Map<string, ListCopy>();
  /** Lists that failed lately, and until when nobody waits for them. */
  readonly #failures = new Map<string, { readonly until: number; readonly code: string }>();
  /** The fetch of each list that began last. */
  readonly #fetching = new Map<string, Fetch>();
  /** Lists that were declared outdated, by upstream; compared with a copy's time. */
  readonly #outdated = new Map<string, number>();

  constructor(options: ListCopiesOptions) {
    this.#options = options;
  }

  /** One upstream's list. Rejects only when the signal fires. */
  async part(upstreamId: string, subject: ListSubject, signal: AbortSignal | undefined): Promise<ListPart> {
    const key = JSON.stringify([upstreamId, subject.method, subject.scope, subject.viewer]);
    const known = this.#copies.get(key);
    if (known && this.#isFresh(upstreamId, known)) return { state: "fresh", upstreamId, copy: known };
    const failure = this.#failures.get(key);
    const fetching = this.#fetch(key, upstreamId, subject);
    if (failure !== undefined && this.#options.now() < failure.until) {
      fetching.catch(() => undefined);
      return this.#standIn(key, upstreamId, subject, failure.code);
    }
    try {
      return { state: "fresh", upstreamId, copy: await orAborted(fetching, signal) };
    } catch (error) {
      if (signal?.aborted) throw error;
      return this.#standIn(key, upstreamId, subject, codeOf(error));
    }
  }

  /** The upstream's lists changed: copies are no longer fresh, but still stand in when it fails. */
  outdate(upstreamId: string): void {
    this.#outdated.set(upstreamId, this.#options.now());
  }

  /** Forgets an upstream. */
  forget(upstreamId: string): void {
    this.#outdated.delete(upstreamId);
    for (const key of this.#copies.keys()) {
      if ((JSON.parse(key) as string[])[0] === upstreamId) this.#copies.delete(key);
    }
  }

  /** What is shown in place of a list that could not be had. */
  #standIn(key: string, upstreamId: string, { method, viewer }: ListSubject, code: string): ListPart {
    // What is stored is not what one viewer alone sees.
    const stored = () => (viewer === undefined ? this.#fromStore(upstreamId, method) : undefined);
    const copy = this.#copies.get(key) ?? stored();
    return copy ? { state: "stale", upstreamId, copy, code } : { state: "unavailable", upstreamId, code };
  }

  #fromStore(upstreamId: string, method: ListMethod): ListCopy | undefined {
    const shape = listShape(method);
    const stored = this.#options.stored?.(upstreamId, method);
    if (shape === undefined || stored === undefined) return undefined;
    const items = readItems(Buffer.from(JSON.stringify({ result: { [shape.field]: stored } })), shape);
    return { items, ttlMs: 0, cacheScope: "private", at: Number.NEGATIVE_INFINITY };
  }

  #isFresh(upstreamId: string, copy: ListCopy): boolean {
    const { now, freshMs } = this.#options;
    return !this.#isOutdated(upstreamId, copy.at) && now() < copy.at + Math.max(copy.ttlMs, freshMs);
  }

  /** Whether a list that began to be read at `at` may lack a change that was told since. */
  #isOutdated(upstreamId: string, at: number): boolean {
    const outdatedAt = this.#outdated.get(upstreamId);
    return outdatedAt !== undefined && at <= outdatedAt;
  }

  #fetch(key: string, upstreamId: string, subject: ListSubject): Promise<ListCopy> {
    const running = this.#fetching.get(key);
    if (running && !this.#isOutdated(upstreamId, running.at)) return running.copy;
    const at = this.#options.now();
    const fetch: Fetch = {
      at,
      copy: this.#fetchAll(upstreamId, subject, at)
        .then(
          (copy) => {
            this.#keep(key, copy);
            return copy;
          },
          (error: unknown) => {
            if (this.#fetching.get(key) === fetch) this.#noteFailure(key, codeOf(error));
            throw error;
          },
        )
        .finally(() => {
          if (this.#fetching.get(key) === fetch) this.#fetching.delete(key);
        }),
    };
    this.#fetching.set(key, fetch);
    return fetch.copy;
  }

  async #fetchAll(upstreamId: string, subject: ListSubject, at: number): Promise<ListCopy> {
    const { deadlineMs, maxPages, maxItems, call } = this.#options;
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), deadlineMs);
    // The upstream's call may not heed the signal; the deadline holds all the same.
    const expired = new Promise<never>((_resolve, reject) => {
      controller.signal.addEventListener("abort", () => reject(listTimeout(deadlineMs)), { once: true });
    });
    try {
      return await Promise.race([pages(), expired]);
    } finally {
      clearTimeout(timer);
    }

    async function pages(): Promise<ListCopy> {
      const shape = listShape(subject.method);
      const items: ListedItem[] = [];
      let cursor: string | undefined;
      let ttlMs = Number.POSITIVE_INFINITY;
      let cacheScope: "public" | "private" = subject.viewer === undefined ? "public" : "private";
      for (let page = 0; shape !== undefined && page < maxPages; page++) {
        const params = cursor === undefined ? "{}" : JSON.stringify({ cursor });
        const { method, context, viewer } = subject;
        const { signal } = controller;
        const answer = await call(upstreamId, { method, params }, { signal, context, viewer });
        const read = readListPage(answer, shape);
        items.push(...read.items.slice(0, maxItems - items.length));
        ttlMs = Math.min(ttlMs, read.ttlMs);
        if (read.cacheScope === "private") cacheScope = "private";
        if (read.nextCursor === undefined || read.nextCursor === cursor || items.length >= maxItems) break;
        cursor = read.nextCursor;
      }
      return { items, ttlMs: Number.isFinite(ttlMs) ? ttlMs : 0, cacheScope, at };
    }
  }

  #noteFailure(key: string, code: string): void {
    const { failureHoldMs, maxCopies, now } = this.#options;
    this.#failures.delete(key);
    this.#failures.set(key, { until: now() + failureHoldMs, code });
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > maxCopies && oldest !== undefined) this.#failures.delete(oldest);
  }

  /** Keeps a list, unless one that began to be read later is there already. */
  #keep(key: string, copy: ListCopy): void {
    if (copy.at < (this.#copies.get(key)?.at ?? copy.at)) return;
    this.#failures.delete(key);
    this.#copies.delete(key);
    this.#copies.set(key, copy);
    const [oldest] = this.#copies.keys();
    if (this.#copies.size > this.#options.maxCopies && oldest !== undefined) this.#copies.delete(oldest);
  }
}

function codeOf(error: unknown): string {
  return UpstreamError.is(error) ? error.code : "upstream_unreachable";
}

function listTimeout(deadlineMs: number): UpstreamError {
  return new UpstreamError("upstream_timeout", `The list took longer than ${deadlineMs} ms.`, {
    phase: "sent_no_response",
  });
}
