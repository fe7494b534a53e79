/** How many numbered lanes there are; `_` is one more, for calls without a tenant. */
export const LANES = 64;

/**
 * The lane of a tenant: FNV-1a (32 bit) over its UTF-8 bytes, modulo 64; `_` without a tenant. A lane is one hash
 * slot, so everything that a fenced plugin's script reads for one call is on one node.
 */
export function laneOf(tenant: string | undefined): string {
  if (tenant === undefined) return "_";
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(tenant)) hash = Math.imul(hash ^ byte, 0x01000193);
  return String((hash >>> 0) % LANES);
}

/** Every lane: `_` first, then 0 to 63. */
export const ALL_LANES: readonly string[] = [
  "_",
  ...Array.from({ length: LANES }, (_, lane) => String(lane)),
];
