import { createHash } from "node:crypto";

/** Who and what a check is about. A missing field skips the rules that need it; a missing user is `anonymous`. */
export interface Subject {
  readonly user?: string | undefined;
  readonly tenant?: string | undefined;
  readonly tool?: string | undefined;
  readonly prompt?: string | undefined;
  readonly resource?: string | undefined;
  readonly server?: string | undefined;
  readonly ip?: string | undefined;
}

/** The kinds of key a rule can count by. */
export type Dimension = keyof Subject;

/** The user that a check without one is counted for. */
export const ANONYMOUS = "anonymous";

const LONGEST_ID = 64;
const HASH_SIGN = 0x23;
const NEEDS_ESCAPE = /[^A-Za-z0-9.@_-]/;

/** The value of one dimension of a subject, or undefined when rules by it do not apply. */
export function dimensionOf(subject: Subject, dimension: Dimension): string | undefined {
  return asId(fieldOf(subject, dimension), dimension);
}

/** The id that the raw value of a dimension stands for. */
export function asId(value: string | undefined, dimension: Dimension): string | undefined {
  return isPlain(value) ? value : idOf(value, dimension);
}

/** What reads the raw value of one dimension. */
export function readerOf(dimension: Dimension): (subject: Subject) => string | undefined {
  return FIELDS[dimension];
}

/** Is it an id as it stands, by its length and first character? Others may be ids too. */
function isPlain(value: string | undefined): value is string {
  if (value === undefined || value.length > LONGEST_ID) return false;
  const code = value.charCodeAt(0);
  return code > HASH_SIGN && code < 128;
}

function idOf(value: string | undefined, dimension: Dimension): string | undefined {
  if (value !== undefined && value.trim() !== "") return boundId(value);
  return dimension === "user" ? ANONYMOUS : undefined;
}

/** The raw value of one dimension. */
export function fieldOf(subject: Subject, dimension: Dimension): string | undefined {
  return FIELDS[dimension](subject);
}

/** Functions rather than the name as a key: reading a field whose name varies is many times slower. */
const FIELDS: Readonly<Record<Dimension, (subject: Subject) => string | undefined>> = {
  user: (subject) => subject.user,
  tenant: (subject) => subject.tenant,
  tool: (subject) => subject.tool,
  prompt: (subject) => subject.prompt,
  resource: (subject) => subject.resource,
  server: (subject) => subject.server,
  ip: (subject) => subject.ip,
};

/**
 * An id of at most 64 characters: a longer one becomes `#` and its SHA-256, so memory per key is bounded. So does
 * one that begins with `#`, lest somebody names himself like the hash of another.
 */
export function boundId(id: string): string {
  if (id.length <= LONGEST_ID && id.charCodeAt(0) !== HASH_SIGN) return id;
  return `#${createHash("sha256").update(id).digest("base64url")}`;
}

/**
 * Percent-escapes everything but letters, digits, `.`, `@`, `_` and `-`, so that ids joined with `:` can never
 * read as other ids, and no id can hold a Redis hash tag. The lone `_` is escaped too: it stands for "none".
 */
export function escapeId(id: string): string {
  if (id === "_") return "%5F";
  if (!NEEDS_ESCAPE.test(id)) return id;
  return encodeURIComponent(id.toWellFormed()).replace(/[!'()*~]/g, percent);
}

/** Joins several ids into one; the parts are escaped, so `["a:b", "c"]` and `["a", "b:c"]` differ. */
export function joinIds(ids: readonly string[]): string {
  return boundId(ids.map(escapeId).join(":"));
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
