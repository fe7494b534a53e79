import { isDeepStrictEqual } from "node:util";
import type { Discovery, ItemKind, UpstreamRecord } from "../registry/records.ts";
import type { Snapshot } from "../registry/snapshot.ts";

const kinds: readonly ItemKind[] = ["tool", "prompt", "resource", "resource_template"];

/** Whether a listing found what the snapshot has already, in the same order: then there is nothing to write. */
export function sameCatalogue(snapshot: Snapshot, { id, self }: UpstreamRecord, found: Discovery): boolean {
  if (JSON.stringify(self) !== JSON.stringify(found.self)) return false;
  return kinds.every((kind) => {
    const known = [...snapshot.items(id, kind).values()];
    // A name that is listed twice is kept once.
    const names = new Set<string>();
    const listed = found.items.filter((item) => {
      return item.kind === kind && !names.has(item.name) && names.add(item.name);
    });
    return (
      known.length === listed.length &&
      listed.every((item, i) => isDeepStrictEqual(item.body, known[i]?.body))
    );
  });
}
