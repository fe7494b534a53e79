import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Registry, UpstreamInput } from "../registry/registry.ts";
import { splitEntry } from "../upstreams/upstream-input.ts";

/** How often it is tried again when another replica changes the same registry at the same time. */
const maxConflicts = 5;

/**
 * Makes the registry's configured upstreams those of `mcpServers`: new ones are added, changed ones changed,
 * and those that neither it nor the configuration of another gateway that runs on the same registry names are removed. Upstreams registered by the API are left alone,
 * unless the configuration names them: then it has its way. Replicas that start at once on one registry agree.
 *
 * @param onKept told of those that stay for another gateway's sake
 * @throws {GatewayError} `conflict` when others keep changing the same upstreams
 */
export async function syncConfiguredUpstreams(
  registry: Registry,
  entries: GatewayConfig["mcpServers"],
  onKept: (name: string) => void = () => undefined,
): Promise<void> {
  for (let conflicts = 0; ; conflicts++) {
    try {
      return await sync(registry, entries, onKept);
    } catch (error) {
      const raced = GatewayError.is(error) && (error.code === "conflict" || error.code === "not_found");
      if (!raced || conflicts === maxConflicts) throw error;
    }
  }
}

async function sync(
  registry: Registry,
  entries: GatewayConfig["mcpServers"],
  onKept: (name: string) => void,
): Promise<void> {
  const running = await registry.running.configured();
  const { upstreams } = await registry.contents();
  const wanted = new Map<string, UpstreamInput>();
  for (const [name, entry] of Object.entries(entries)) {
    if (entry.disabled === true) continue;
    wanted.set(name.toLowerCase(), { name, ...splitEntry(entry), source: "config" });
  }
  for (const record of upstreams) {
    const input = wanted.get(record.name.toLowerCase());
    wanted.delete(record.name.toLowerCase());
    if (input === undefined) {
      if (record.source !== "config") continue;
      if (running.has(record.name.toLowerCase())) onKept(record.name);
      else await registry.deleteUpstream(record.id);
    } else if (differs(record, input)) await registry.updateUpstream(record.id, input);
  }
  for (const input of wanted.values()) await registry.createUpstream(input);
}

function differs(record: UpstreamRecord, input: UpstreamInput): boolean {
  const of = ({ name, definition, credentials, source }: UpstreamInput) =>
    JSON.stringify([name, definition, credentials, source]);
  return of(record) !== of(input);
}
