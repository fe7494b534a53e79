/** Revisions with sessions and an `initialize` handshake, newest first. */
export const LEGACY_REVISIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] as const;

/** Stateless revisions: every request carries version and capabilities in `_meta`. Newest first. */
export const MODERN_REVISIONS = ["2026-07-28"] as const;

/** Every revision this package speaks, newest first. */
export const SUPPORTED_REVISIONS: readonly string[] = [...MODERN_REVISIONS, ...LEGACY_REVISIONS];

/** The newest stateless revision. */
export const LATEST_MODERN = MODERN_REVISIONS[0];

/** The newest revision with a handshake. */
export const LATEST_LEGACY = LEGACY_REVISIONS[0];

/** What a legacy request without `MCP-Protocol-Version` is taken for (2025-11-25, "Protocol Version Header"). */
export const DEFAULT_LEGACY = "2025-03-26";

/** The two families of revisions. */
export type Era = "legacy" | "modern";

/** `_meta` keys of the modern per-request envelope. */
export const META = {
  protocolVersion: "io.modelcontextprotocol/protocolVersion",
  clientInfo: "io.modelcontextprotocol/clientInfo",
  clientCapabilities: "io.modelcontextprotocol/clientCapabilities",
  logLevel: "io.modelcontextprotocol/logLevel",
  subscriptionId: "io.modelcontextprotocol/subscriptionId",
  serverInfo: "io.modelcontextprotocol/serverInfo",
} as const;

/** Prefix of the `_meta` keys that only modern peers understand. */
export const RESERVED_META_PREFIX = "io.modelcontextprotocol/";

/** True for a stateless revision that this package speaks. */
export function isModernRevision(version: string): boolean {
  return (MODERN_REVISIONS as readonly string[]).includes(version);
}

/** True for a revision with a handshake that this package speaks. */
export function isLegacyRevision(version: string): boolean {
  return (LEGACY_REVISIONS as readonly string[]).includes(version);
}

/**
 * Version negotiation of the handshake: the requested revision when it is spoken, else the newest legacy one.
 */
export function negotiateLegacy(requested: unknown): string {
  return typeof requested === "string" && isLegacyRevision(requested) ? requested : LATEST_LEGACY;
}
