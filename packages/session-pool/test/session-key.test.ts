import { createSessionKeys, isSessionKey } from "@gatewright/session-pool";
import { seededRandom } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { keys, stateless, testSecret } from "./support/keys.ts";

const stateful = { id: "s1" };

describe("the isolation rule", () => {
  it("SP-2 ignores case and order of identity headers, and tells their values apart", () => {
    const a = keys.identity(stateless(), { headers: { Authorization: "Bearer 1", "X-Tenant-Id": "t" } });
    const b = keys.identity(stateless(), { headers: { "x-tenant-id": "t", AUTHORIZATION: "Bearer 1" } });
    const c = keys.identity(stateless(), { headers: { Authorization: "Bearer 2", "X-Tenant-Id": "t" } });
    const d = keys.identity(stateless(), { headers: { Authorization: "t", "X-Tenant-Id": "Bearer 1" } });
    expect(a.id).toBe(b.id);
    expect(new Set([a.id, c.id, d.id]).size).toBe(3);
  });

  it("SP-2 shares nothing between callers without identity, unless that is asked for", () => {
    const one = keys.identity(stateless(), { headers: { accept: "*/*" } });
    const two = keys.identity(stateless(), {});
    expect(one.id).not.toBe(two.id);
    expect(one.oneShot).toBe(true);
    const open = createSessionKeys({ secret: testSecret, shareAnonymous: true });
    expect(open.identity(stateless(), {})).toEqual(open.identity(stateless(), {}));
    expect(open.identity(stateless(), {}).oneShot).toBe(false);
    expect(open.exclusive(stateful, {}).oneShot).toBe(true);
  });

  it("gives two downstream sessions of one principal two keys", () => {
    const one = keys.downstream(stateful, { principal: "ann", downstreamSessionId: "1" });
    const two = keys.downstream(stateful, { principal: "ann", downstreamSessionId: "2" });
    expect(one.id).not.toBe(two.id);
    expect(one.downstream).not.toBe(two.downstream);
  });

  it("gives another principal another key, even with the same downstream session id", () => {
    const ann = keys.downstream(stateful, { principal: "ann", downstreamSessionId: "1" });
    const bob = keys.downstream(stateful, { principal: "bob", downstreamSessionId: "1" });
    expect(ann.id).not.toBe(bob.id);
    expect(ann.downstream).toBe(bob.downstream);
  });

  it("shares sessions only of servers marked stateless", () => {
    for (const strategy of ["identity", "sessionless"] as const) {
      expect(() => keys[strategy](stateful, { principal: "ann" })).toThrow(/stateless/);
      expect(isSessionKey(keys[strategy](stateless(), { principal: "ann" }))).toBe(true);
    }
  });

  it("picks downstream for a caller with a session, exclusive without, sessionless for stateless servers", () => {
    expect(keys.keyFor(stateful, { principal: "ann", downstreamSessionId: "1" }).strategy).toBe("downstream");
    expect(keys.keyFor(stateful, { principal: "ann" }).strategy).toBe("exclusive");
    expect(keys.keyFor(stateless(), { principal: "ann", downstreamSessionId: "1" }).strategy).toBe(
      "sessionless",
    );
    expect(() => keys.downstream(stateful, { principal: "ann" })).toThrow(/downstream session/);
  });

  it("keys sessionless sessions by server, transport, credential and TLS identity", () => {
    const base = keys.sessionless(stateless(), {}, { credential: "c", tls: "t" });
    const others = [
      keys.sessionless(stateless("s2"), {}, { credential: "c", tls: "t" }),
      keys.sessionless({ ...stateless(), transport: "stdio" }, {}, { credential: "c", tls: "t" }),
      keys.sessionless(stateless(), {}, { credential: "d", tls: "t" }),
      keys.sessionless(stateless(), {}, { credential: "c", tls: "u" }),
      keys.sessionless(stateless(), {}, { credential: "ct" }),
    ];
    expect(new Set([base.id, ...others.map((key) => key.id)]).size).toBe(6);
    expect(keys.sessionless(stateless(), { principal: "ann" }, { credential: "c", tls: "t" }).id).toBe(
      base.id,
    );
  });

  it("keys exclusive sessions by server, principal, credential and era", () => {
    const base = keys.exclusive(stateful, { principal: "ann" }, { credential: "c", era: "legacy" });
    const others = [
      keys.exclusive({ id: "s2" }, { principal: "ann" }, { credential: "c", era: "legacy" }),
      keys.exclusive(stateful, { principal: "bob" }, { credential: "c", era: "legacy" }),
      keys.exclusive(stateful, { principal: "ann" }, { credential: "d", era: "legacy" }),
      keys.exclusive(stateful, { principal: "ann" }, { credential: "c", era: "modern" }),
    ];
    expect(new Set([base.id, ...others.map((key) => key.id)]).size).toBe(5);
  });

  it("keys identity sessions by user, tenant, server, identity headers, transport and TLS identity", () => {
    const ann = { principal: "ann", headers: { "x-user-id": "1" } };
    const base = keys.identity(stateless(), ann);
    const others = [
      keys.identity(stateless(), { ...ann, principal: "bob" }),
      keys.identity(stateless(), { ...ann, tenant: "t" }),
      keys.identity(stateless("s2"), ann),
      keys.identity(stateless(), { ...ann, headers: { "x-user-id": "2" } }),
      keys.identity({ ...stateless(), transport: "sse" }, ann),
      keys.identity(stateless(), ann, { tls: "t" }),
      createSessionKeys({ secret: testSecret, gateway: "g2" }).identity(stateless(), ann),
    ];
    expect(new Set([base.id, ...others.map((key) => key.id)]).size).toBe(8);
    expect(keys.identity(stateless(), { ...ann, downstreamSessionId: "x" }).id).toBe(base.id);
  });

  it("keeps one key across token rotation when an extractor names the subject", () => {
    const bySubject = createSessionKeys({
      secret: testSecret,
      extractIdentity: ({ headers }) => String(headers?.["authorization"] ?? "").split(".")[1],
    });
    const before = bySubject.identity(stateless(), { headers: { authorization: "h.ann.1" } });
    const after = bySubject.identity(stateless(), { headers: { authorization: "h.ann.2" } });
    expect(before.id).toBe(after.id);
    expect(bySubject.identity(stateless(), { headers: { authorization: "h.bob.1" } }).id).not.toBe(before.id);
    expect(bySubject.identity(stateless(), {}).oneShot).toBe(true);
  });

  it("holds nothing raw, and differs per deployment and gateway", () => {
    const caller = {
      principal: "ann@example.com",
      downstreamSessionId: "sid-123",
      headers: { cookie: "tasty", "x-api-key": ["k1", "k2"] },
    };
    const key = keys.downstream(stateful, caller, { credential: "hunter2" });
    for (const secret of ["ann@example.com", "sid-123", "tasty", "k1", "hunter2"]) {
      expect(JSON.stringify(key)).not.toContain(secret);
    }
    const other = createSessionKeys({ secret: `${testSecret}!` });
    const sibling = createSessionKeys({ secret: testSecret, gateway: "g2" });
    expect(other.downstream(stateful, caller).id).not.toBe(key.id);
    expect(sibling.downstream(stateful, caller).id).not.toBe(key.id);
    expect(() => createSessionKeys({ secret: "short" })).toThrow(/32 bytes/);
  });

  it("gives two callers the same key only if nothing that tells them apart differs, for any mix of values", () => {
    const random = seededRandom(7);
    const words = ["", "a", "ab", "b", "a:b", "1:a", "-1:", "a\n", "A"];
    const word = () => words[Math.floor(random() * words.length)] ?? "";
    const seen = new Map<string, string>();
    for (let i = 0; i < 5000; i++) {
      const strategy = random() < 0.5 ? ("downstream" as const) : ("exclusive" as const);
      const server = { id: word(), transport: word() };
      const caller = { principal: word(), tenant: word(), downstreamSessionId: word() };
      const upstream = { credential: word(), tls: word(), era: word() };
      const { id } = keys[strategy](server, caller, upstream);
      const apart =
        strategy === "downstream"
          ? [strategy, server, caller, upstream.era]
          : [strategy, server, caller.principal, caller.tenant, upstream];
      const facts = JSON.stringify(apart);
      expect(seen.get(id) ?? facts).toBe(facts);
      seen.set(id, facts);
    }
    expect(new Set(seen.values()).size).toBe(seen.size);
  });
});
