import { gatewayConfig } from "./gateway-config.ts";
import { mcpServerEntry } from "./mcp-servers.ts";
import { nearestKey } from "./nearest-key.ts";

/** Keys of an entry that only concern the client that wrote it, whatever their form. */
const clientOnly = new Set(["timeout", "autoApprove", "alwaysAllow", "description"]);

/**
 * Takes a client's `mcpServers` file as it is: without the keys that mean nothing here, each of them told to
 * `onWarning`. Such a file has `mcpServers` and no other key of the gateway. A key that looks like a misspelt one stays,
 * so that it is refused like anywhere else; any other file comes back unchanged.
 */
export function acceptClientFile(
  raw: Record<string, unknown>,
  onWarning: (path: string) => void,
): Record<string, unknown> {
  const servers = raw["mcpServers"];
  const top = Object.keys(gatewayConfig.shape);
  const own = Object.keys(raw).filter((key) => top.includes(key));
  if (own.length !== 1 || !isObject(servers)) return raw;
  const entryKeys = Object.keys(mcpServerEntry.shape);
  const entries = Object.entries(servers).map(([name, entry]) => {
    if (!isObject(entry)) return [name, entry] as const;
    const meant = Object.fromEntries(Object.entries(entry).filter(([key]) => !clientOnly.has(key)));
    return [name, without(meant, entryKeys, (key) => onWarning(`mcpServers.${name}.${key}`))] as const;
  });
  return { ...without(raw, top, onWarning), mcpServers: Object.fromEntries(entries) };
}

function without(
  value: Record<string, unknown>,
  known: readonly string[],
  onDrop: (key: string) => void,
): Record<string, unknown> {
  const kept = Object.entries(value).filter(([key]) => {
    if (known.includes(key) || nearestKey(key, known) !== undefined) return true;
    onDrop(key);
    return false;
  });
  return Object.fromEntries(kept);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
