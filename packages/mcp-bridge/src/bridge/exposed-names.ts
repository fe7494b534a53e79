import { createHash } from "node:crypto";

/** One upstream behind an aggregated endpoint. */
export interface AggregatedUpstream {
  /** Stable id. Of two upstreams whose slugs look alike, the one with the smaller id keeps its slug. */
  readonly id: string;
  /** Short name in front of its items: letters, digits, `-`, `_`, `.`. */
  readonly slug: string;
}

/** An item of an upstream. */
export interface NamedItem {
  readonly upstreamId: string;
  /** The upstream's own name. */
  readonly name: string;
}

/** How names are made. */
export interface NameRules {
  readonly separator: string;
  /** Longest exposed name in characters. */
  readonly maxLength: number;
}

/** Shortened names that are remembered; those of before are found again by listing. */
const MAX_SHORTENED = 50_000;

/** Characters of the digest that replaces the end of a name which is too long. */
const DIGEST_CHARS = 8;

/**
 * Exposed names `slug + separator + name`, and the way back. A slug never contains the separator, so the first one
 * splits a name; therefore names are unique without knowing each other, equal on every replica and after every
 * restart. A name that is too long ends in a digest of itself; only those need the table.
 */
export class ExposedNames {
  readonly #rules: NameRules;
  readonly #slugs = new Map<string, string>();
  readonly #upstreams = new Map<string, string>();
  readonly #shortened = new Map<string, NamedItem>();

  constructor(upstreams: readonly AggregatedUpstream[], rules: NameRules) {
    this.#rules = rules;
    const ordered = [...upstreams].sort((left, right) => (left.id < right.id ? -1 : 1));
    for (const { id, slug } of ordered) {
      const plain = slugFor(slug, rules.separator);
      const taken = this.#upstreams.has(plain);
      const unique = taken
        ? `${plain}${rules.separator === "-" ? "." : "-"}${digestOf(id).slice(0, 4)}`
        : plain;
      this.#slugs.set(id, unique);
      this.#upstreams.set(unique, id);
    }
  }

  /** The slug of an upstream as it appears in names. */
  slugOf(upstreamId: string): string {
    return this.#slugs.get(upstreamId) ?? upstreamId;
  }

  /** Ids of the upstreams, in order. */
  upstreamIds(): readonly string[] {
    return [...this.#slugs.keys()];
  }

  /** The exposed name of an item; long ones are remembered for the way back. */
  expose(item: NamedItem): string {
    const { separator, maxLength } = this.#rules;
    const full = `${this.slugOf(item.upstreamId)}${separator}${item.name}`;
    if (full.length <= maxLength) return full;
    const end = `-${digestOf(full).slice(0, DIGEST_CHARS)}`;
    const exposed = full.slice(0, maxLength - end.length) + end;
    this.#shortened.delete(exposed);
    this.#shortened.set(exposed, item);
    if (this.#shortened.size > MAX_SHORTENED) {
      const [oldest] = this.#shortened.keys();
      if (oldest !== undefined) this.#shortened.delete(oldest);
    }
    return exposed;
  }

  /** The item behind an exposed name; `undefined` when no upstream has that slug. */
  resolve(exposed: string): NamedItem | undefined {
    const shortened = this.#shortened.get(exposed);
    if (shortened) return shortened;
    const { separator } = this.#rules;
    const split = exposed.indexOf(separator);
    const upstreamId = split < 0 ? undefined : this.#upstreams.get(exposed.slice(0, split));
    return upstreamId === undefined
      ? undefined
      : { upstreamId, name: exposed.slice(split + separator.length) };
  }

  /** True when a name may be a shortened one whose item was not listed yet in this process. */
  needsTable(exposed: string): boolean {
    if (exposed.length !== this.#rules.maxLength || this.#shortened.has(exposed)) return false;
    return /-[0-9a-f]{8}$/.test(exposed);
  }
}

function slugFor(slug: string, separator: string): string {
  const replacement = separator.includes("-") ? "." : "-";
  return slug.replaceAll(separator, replacement) || "upstream";
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
