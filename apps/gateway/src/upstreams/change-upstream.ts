import type { z } from "zod";
import { GatewayError } from "../errors.ts";
import type { UpstreamDefinition, UpstreamRecord } from "../registry/records.ts";
import { checkUpstreamUrl } from "./address-guard.ts";
import { candidatesOf } from "./candidates.ts";
import { findPlace } from "./find-place.ts";
import type { RegisterDeps } from "./register-upstream.ts";
import { changedInput, type upstreamPatch } from "./upstream-input.ts";

/** An upstream before and after a change. */
export interface ChangedUpstream {
  readonly before: UpstreamRecord;
  readonly record: UpstreamRecord;
}

/**
 * Changes an upstream. The patch is applied to what the upstream is when the change is written, so that of several at once each
 * has its part. A URL without a path is tried at the same places as when it is registered; where none answers it is kept as
 * it is.
 *
 * @throws {GatewayError} `not_found`, `validation_failed`, `conflict`; `upstream_unreachable` when a new URL's host is unknown
 */
export async function changeUpstream(
  deps: RegisterDeps,
  id: string,
  patch: z.infer<typeof upstreamPatch>,
): Promise<ChangedUpstream> {
  let before = await deps.registry.upstream(id);
  const place = await placeOf(deps, before, patch);
  const record = await deps.registry.updateUpstream(id, (current) => {
    before = current;
    return changedInput(current, patch, place);
  });
  return { before, record };
}

/** Where an upstream with a new URL is; undefined when the URL says it all. */
async function placeOf(
  deps: RegisterDeps,
  before: UpstreamRecord,
  patch: z.infer<typeof upstreamPatch>,
): Promise<UpstreamDefinition | undefined> {
  const input = { ...before, ...changedInput(before, patch) };
  const { url } = input.definition;
  if (patch.url === undefined || url === undefined) return undefined;
  await checkUpstreamUrl(url, deps.allowPrivate);
  if (candidatesOf(input.definition).length === 1) return undefined;
  try {
    return (await findPlace(deps, input)).definition;
  } catch (error) {
    if (GatewayError.is(error)) throw error;
    return undefined;
  }
}
