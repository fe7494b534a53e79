import type { Principal } from "../auth/principal.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import { credentialUser, hasOwnCredentials } from "../upstreams/user-credentials.ts";

/** Where changes are heard: at an upstream, as the gateway, or by the credentials of one user. */
export interface ChangeSource {
  readonly upstreamId: string;
  readonly user: string | undefined;
}

/** By upstream or by source: the same, told apart by their keys. */
type ByKey<T> = ReadonlyMap<string, T>;

/** What is wanted of upstreams, by the sources at which a principal may hear it. */
export function toSources<T>(snapshot: Snapshot, principal: Principal, byUpstream: ByKey<T>): ByKey<T> {
  const user = credentialUser(principal);
  return new Map(
    [...byUpstream].map(([upstreamId, value]) => {
      const upstream = snapshot.upstreams.get(upstreamId);
      const own = upstream !== undefined && hasOwnCredentials(upstream, user);
      return [own ? JSON.stringify([upstreamId, user]) : upstreamId, value];
    }),
  );
}

/** What sources say, by upstream. */
export function fromSources<T>(bySource: ByKey<T>): ByKey<T> {
  return new Map([...bySource].map(([key, value]) => [readSource(key).upstreamId, value]));
}

/** The source that a key stands for. */
export function readSource(key: string): ChangeSource {
  if (!key.startsWith("[")) return { upstreamId: key, user: undefined };
  const [upstreamId, user] = JSON.parse(key) as [string, string];
  return { upstreamId, user };
}
