import { createSessionKeys, type KeyServer, type SessionKey } from "@gatewright/session-pool";

export const testSecret = "a secret of the tests, 32 bytes or more";

/** Key builder of the tests. */
export const keys = createSessionKeys({ secret: testSecret });

/** A server that is marked stateless. */
export const stateless = (id = "s1"): KeyServer => ({ id, stateless: true });

export const identityKey = (principal = "ann", serverId = "s1", tenant?: string): SessionKey =>
  keys.identity(stateless(serverId), { principal, ...(tenant === undefined ? {} : { tenant }) });

export const downstreamKey = (session = "d1", serverId = "s1", principal = "ann"): SessionKey =>
  keys.downstream({ id: serverId }, { principal, downstreamSessionId: session });

export const exclusiveKey = (principal = "ann", serverId = "s1"): SessionKey =>
  keys.exclusive({ id: serverId }, { principal });

export const sessionlessKey = (credential = "c", serverId = "s1"): SessionKey =>
  keys.sessionless(stateless(serverId), {}, { credential });
