import type { Principal } from "../auth/principal.ts";
import type { UpstreamRecord } from "../registry/records.ts";

/**
 * Under which name a caller's own credentials for upstreams are kept: `sub`, or `tenant/sub`. Slashes and percent signs
 * within either are percent-escaped, so that no user is taken for another tenant's.
 */
export function credentialUser({ user, tenant }: Principal): string {
  return tenant === undefined ? escaped(user) : `${escaped(tenant)}/${escaped(user)}`;
}

function escaped(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("/", "%2F");
}

/** Whether an upstream is shown credentials of this user's own. */
export function hasOwnCredentials({ credentials }: UpstreamRecord, user: string | undefined): user is string {
  return user !== undefined && credentials.users !== undefined && Object.hasOwn(credentials.users, user);
}

/** The upstream as it is reached on behalf of a user: by that user's credentials where there are any. */
export function onBehalfOf(record: UpstreamRecord, user: string | undefined): UpstreamRecord {
  if (!hasOwnCredentials(record, user)) return record;
  const { credentials } = record;
  const headers = { ...withoutCase(credentials.headers), ...withoutCase(credentials.users?.[user] ?? {}) };
  return { ...record, credentials: { ...credentials, headers } };
}

function withoutCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
