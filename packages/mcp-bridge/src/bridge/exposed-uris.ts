import { createHash } from "node:crypto";
import type { ExposedNames, NamedItem } from "./exposed-names.ts";

/**
 * Exposed URIs and URI templates: `slug+` in front of the scheme (RFC 3986 allows `+` there), so that two upstreams
 * may have the same URI and the way back needs no table.
 */
export class ExposedUris {
  readonly #prefixes = new Map<string, string>();
  readonly #upstreams = new Map<string, string>();

  constructor(names: ExposedNames) {
    for (const id of names.upstreamIds()) {
      const plain = schemeOf(names.slugOf(id));
      const digest = createHash("sha256").update(id).digest("hex").slice(0, 4);
      const prefix = this.#upstreams.has(plain) ? `${plain}.${digest}` : plain;
      this.#prefixes.set(id, prefix);
      this.#upstreams.set(prefix, id);
    }
  }

  /** The exposed form of an upstream's URI or URI template. */
  expose(item: NamedItem): string {
    return `${this.#prefixes.get(item.upstreamId) ?? item.upstreamId}+${item.name}`;
  }

  /** The upstream and its own URI; `undefined` when no upstream has that prefix. */
  resolve(exposed: string): NamedItem | undefined {
    const split = exposed.indexOf("+");
    const upstreamId = this.#upstreams.get(exposed.slice(0, Math.max(0, split)).toLowerCase());
    return upstreamId === undefined ? undefined : { upstreamId, name: exposed.slice(split + 1) };
  }
}

/** A slug as the beginning of a scheme: a letter first, then letters, digits, `-` and `.`, in lower case. */
function schemeOf(slug: string): string {
  const lower = slug.toLowerCase().replaceAll(/[^a-z0-9.-]/g, ".");
  return /^[a-z]/.test(lower) ? lower : `u-${lower}`;
}
