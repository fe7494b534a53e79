import { type Upstream, UpstreamError } from "@gatewright/mcp-bridge/upstream";
import { GatewayError } from "../errors.ts";
import type { Discovery, UpstreamDefinition, UpstreamRecord } from "../registry/records.ts";
import type { UpstreamInput } from "../registry/registry.ts";
import { candidatesOf } from "./candidates.ts";
import { discover, type ListingRules } from "./discover.ts";
import { loopRpcCode } from "./hop.ts";
import { gatewayContext } from "./session-context.ts";

/** What finding an upstream works with. */
export interface PlaceDeps {
  readonly listing: ListingRules;
  /** Makes a connection that is used once. */
  readonly connect: (record: UpstreamRecord) => Upstream;
  /** Aborted when the gateway stops: nobody waits for a program that does not answer. */
  readonly signal: AbortSignal;
}

/** Where an upstream answers, and what it has there. */
export interface FoundPlace {
  readonly definition: UpstreamDefinition;
  readonly discovery: Discovery;
}

/**
 * Connects to an upstream and lists it, at the first of the places where it may be that answers.
 *
 * @throws {GatewayError} `validation_failed` when the place is this gateway itself; `overloaded` when that stops meanwhile
 * @throws what it failed with at the first place, when none answers
 */
export async function findPlace(deps: PlaceDeps, input: UpstreamInput): Promise<FoundPlace> {
  let failure: unknown;
  for (const definition of candidatesOf(input.definition)) {
    try {
      return { definition, discovery: await discoverOnce(deps, { ...input, definition }) };
    } catch (error) {
      if (GatewayError.is(error)) throw error;
      if (deps.signal.aborted) {
        throw new GatewayError("overloaded", "the gateway is stopping", {
          cause: error,
          retryAfterMs: 1_000,
        });
      }
      if (UpstreamError.is(error) && error.rpcCode === loopRpcCode) {
        throw new GatewayError("validation_failed", "the address leads back to this gateway", {
          cause: error,
          details: { path: "body.url" },
        });
      }
      failure ??= error;
    }
  }
  throw failure;
}

async function discoverOnce(deps: PlaceDeps, input: UpstreamInput): Promise<Discovery> {
  const { name, definition, credentials } = input;
  const upstream = deps.connect({
    ...{ id: "new", name, slug: "new", definition, credentials, source: "api", state: "unknown" },
    ...{ revision: 0, createdAt: 0, updatedAt: 0 },
  });
  try {
    const { signal } = deps;
    const session = await upstream.open({ ...gatewayContext, signal });
    const found = await discover(session, { ...deps.listing, signal });
    await session.close();
    return found;
  } finally {
    await upstream.close();
  }
}
