/** How many lanes there are. */
export const LANES = 64;

/**
 * The lane of a tenant: FNV-1a (32 bit) over its UTF-8 bytes, modulo 64; `_` without a tenant. Everything a
 * check touches is in one lane, and a lane is one hash slot. Whoever writes control records must use the same.
 */
export function laneOf(tenant: string | undefined): string {
  if (tenant === undefined) return "_";
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(tenant)) hash = Math.imul(hash ^ byte, 0x01000193);
  return String((hash >>> 0) % LANES);
}

/** Every lane: `_` and 0 to 63. */
export function allLanes(): readonly string[] {
  return ["_", ...Array.from({ length: LANES }, (_, lane) => String(lane))];
}
