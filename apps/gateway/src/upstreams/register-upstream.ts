import { reasonOf } from "../calls/call-failure.ts";
import { GatewayError } from "../errors.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { RegistryRecords, UpstreamInput } from "../registry/registry.ts";
import { checkUpstreamUrl } from "./address-guard.ts";
import { type FoundPlace, findPlace, type PlaceDeps } from "./find-place.ts";
import { splitEntry, type UpstreamBody } from "./upstream-input.ts";

/** What registering works with. */
export interface RegisterDeps extends PlaceDeps {
  readonly registry: RegistryRecords;
  readonly allowPrivate: boolean;
}

/**
 * Registers an upstream: checks where it is, connects and lists it, then stores it with its catalogue. A URL
 * without a path is tried at `/`, at `/mcp` and, by the transport of 2024-11-05, at `/sse`; the one that answers is kept.
 *
 * @param unreachable `refuse` stores nothing when it cannot be reached; `keep` stores it as unreachable
 * @throws {GatewayError} `validation_failed`, `conflict`, `upstream_unreachable`
 */
export async function registerUpstream(
  deps: RegisterDeps,
  body: UpstreamBody,
  unreachable: "refuse" | "keep",
): Promise<UpstreamRecord> {
  const { registry } = deps;
  const input: UpstreamInput = { name: body.name, ...splitEntry(body), source: "api" };
  const same = await registry.upstreams({ name: body.name, limit: 1, offset: 0 });
  if (same.total > 0) {
    throw new GatewayError("conflict", `a gateway named "${body.name}" exists already`, {
      details: { id: same.items[0]?.id },
    });
  }
  const { url } = input.definition;
  let found: FoundPlace | undefined;
  let failure: unknown;
  try {
    if (url !== undefined) await checkUpstreamUrl(url, deps.allowPrivate);
    found = await findPlace(deps, input);
  } catch (error) {
    if (GatewayError.is(error) && error.code !== "upstream_unreachable") throw error;
    failure = error;
  }
  if (found !== undefined) {
    return registry.createUpstream({ ...input, definition: found.definition }, found.discovery);
  }
  if (unreachable === "refuse") {
    const reason = reasonOf(failure);
    throw new GatewayError("upstream_unreachable", `"${body.name}" cannot be reached: ${reason}`, {
      cause: failure,
      details: { reason },
    });
  }
  const record = await registry.createUpstream(input);
  await registry.saveDiscovery(record.id, { failure: reasonOf(failure) });
  return registry.upstream(record.id);
}
