import { JsonCursor } from "../json-cursor.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";

/** The list methods that an aggregated endpoint merges. */
export type ListMethod = "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list";

/** Where the items of a list are, and which member names them. */
export interface ListShape {
  readonly field: string;
  readonly key: "name" | "uri" | "uriTemplate";
}

const SHAPES: { readonly [M in ListMethod]: ListShape } = {
  "tools/list": { field: "tools", key: "name" },
  "prompts/list": { field: "prompts", key: "name" },
  "resources/list": { field: "resources", key: "uri" },
  "resources/templates/list": { field: "resourceTemplates", key: "uriTemplate" },
};

/** The shape of a list method; `undefined` for other methods. */
export function listShape(method: string): ListShape | undefined {
  return Object.hasOwn(SHAPES, method) ? SHAPES[method as ListMethod] : undefined;
}

/** One item as its upstream wrote it. */
export interface ListedItem {
  readonly name: string;
  /** Raw JSON text in front of, and behind, the value of the naming member. */
  readonly before: string;
  readonly after: string;
}

/** One page of a list. */
export interface ListPage {
  readonly items: readonly ListedItem[];
  readonly nextCursor: string | undefined;
  readonly ttlMs: number;
  readonly cacheScope: "public" | "private";
}

/** Depth of a list that is read. */
const MAX_DEPTH = 512;

/**
 * Takes a list's answer apart without changing its items: each is kept as text, cut at its name. Items without a
 * name are left out.
 *
 * @throws UpstreamError `upstream_protocol` when the answer is no such list
 */
export function readListPage(answer: UpstreamAnswer, shape: ListShape): ListPage {
  const value = answer.value();
  if (answer.kind === "error") {
    throw new UpstreamError(
      "upstream_protocol",
      `The upstream refused the list: ${String(value["message"])}`,
      {
        phase: "response_received",
        rpcCode: Number(value["code"]),
      },
    );
  }
  const { nextCursor, ttlMs, cacheScope } = value as {
    nextCursor?: unknown;
    ttlMs?: unknown;
    cacheScope?: unknown;
  };
  return {
    items: readItems(answer.bytes, shape),
    nextCursor: typeof nextCursor === "string" ? nextCursor : undefined,
    ttlMs: typeof ttlMs === "number" && ttlMs > 0 ? ttlMs : 0,
    cacheScope: cacheScope === "public" ? "public" : "private",
  };
}

/** The items of a list's answer, each as text cut at its name. */
export function readItems(bytes: Buffer, shape: ListShape): ListedItem[] {
  const cursor = new JsonCursor(bytes, 0, MAX_DEPTH);
  if (!descend(cursor, "result") || !descend(cursor, shape.field) || !cursor.enter("[")) return [];
  const items: ListedItem[] = [];
  while (cursor.nextElement()) {
    const item = readItem(cursor, shape.key);
    if (item) items.push(item);
  }
  return items;
}

/** Moves onto the value of a member; false when there is none. */
function descend(cursor: JsonCursor, key: string): boolean {
  if (!cursor.enter("{")) return false;
  while (cursor.nextMember()) {
    if (cursor.keyIs(key)) return true;
    cursor.skipValue();
  }
  return false;
}

function readItem(cursor: JsonCursor, key: string): ListedItem | undefined {
  const { bytes } = cursor;
  const start = cursor.at;
  let name: { readonly start: number; readonly end: number } | undefined;
  if (!cursor.enter("{")) {
    cursor.skipValue();
    return undefined;
  }
  while (cursor.nextMember()) {
    const at = cursor.at;
    const isName = cursor.keyIs(key);
    cursor.skipValue();
    if (isName) name = { start: at, end: cursor.at };
  }
  if (name === undefined) return undefined;
  const value: unknown = JSON.parse(bytes.toString("utf8", name.start, name.end));
  if (typeof value !== "string") return undefined;
  return {
    name: value,
    before: bytes.toString("utf8", start, name.start),
    after: bytes.toString("utf8", name.end, cursor.at),
  };
}
