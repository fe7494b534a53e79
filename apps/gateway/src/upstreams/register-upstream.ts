import { type Upstream, UpstreamError } from "@gatewright/mcp-bridge/upstream";
import { reasonOf } from "../calls/call-failure.ts";
import { GatewayError } from "../errors.ts";
import type { Discovery, UpstreamRecord } from "../registry/records.ts";
import type { RegistryRecords, UpstreamInput } from "../registry/registry.ts";
import { checkUpstreamUrl } from "./address-guard.ts";
import { candidatesOf } from "./candidates.ts";
import { discover, type ListingRules } from "./discover.ts";
import { loopRpcCode } from "./hop.ts";
import { gatewayContext } from "./session-context.ts";
import { splitEntry, type UpstreamBody } from "./upstream-input.ts";

/** What registering works with. */
export interface RegisterDeps {
  readonly registry: RegistryRecords;
  readonly allowPrivate: boolean;
  readonly listing: ListingRules;
  /** Makes a connection that is used once. */
  readonly connect: (record: UpstreamRecord) => Upstream;
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
  if ((input.definition.url === undefined) === (input.definition.command === undefined)) {
    throw new GatewayError("validation_failed", "needs either `url` or `command`", {
      details: { path: "body.url" },
    });
  }
  const same = await registry.upstreams({ name: body.name, limit: 1, offset: 0 });
  if (same.total > 0) {
    throw new GatewayError("conflict", `a gateway named "${body.name}" exists already`, {
      details: { id: same.items[0]?.id },
    });
  }
  const { url } = input.definition;
  let failure: unknown;
  try {
    if (url !== undefined) await checkUpstreamUrl(url, deps.allowPrivate);
    for (const definition of candidatesOf(input.definition)) {
      const candidate = { ...input, definition };
      try {
        return await registry.createUpstream(candidate, await discoverOnce(deps, candidate));
      } catch (error) {
        if (GatewayError.is(error)) throw error;
        if (UpstreamError.is(error) && error.rpcCode === loopRpcCode) {
          throw new GatewayError("validation_failed", "the address leads back to this gateway", {
            cause: error,
            details: { path: "body.url" },
          });
        }
        failure ??= error;
      }
    }
  } catch (error) {
    if (!GatewayError.is(error) || error.code !== "upstream_unreachable") throw error;
    failure = error;
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

async function discoverOnce(deps: RegisterDeps, input: UpstreamInput): Promise<Discovery> {
  const { name, definition, credentials } = input;
  const upstream = deps.connect({
    ...{ id: "new", name, slug: "new", definition, credentials, source: "api", state: "unknown" },
    ...{ revision: 0, createdAt: 0, updatedAt: 0 },
  });
  try {
    const session = await upstream.open(gatewayContext);
    const found = await discover(session, deps.listing);
    await session.close();
    return found;
  } finally {
    await upstream.close();
  }
}
