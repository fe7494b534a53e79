import { UpstreamError } from "@gatewright/mcp-bridge/upstream";
import { SessionPoolError } from "@gatewright/session-pool";
import { describe, expect, it } from "vitest";
import { localPrincipal, type Principal, principalOf } from "../src/auth/principal.ts";
import { failureOf, outcomeOf, refusalOf } from "../src/calls/call-failure.ts";
import { everything } from "../src/calls/target.ts";
import { serverConfig } from "../src/config/server.ts";
import { DownstreamSessions } from "../src/downstream/downstream-sessions.ts";
import { GatewayError } from "../src/errors.ts";
import { createClientAddress } from "../src/http/client-address.ts";
import { createHostGuard } from "../src/http/host-guard.ts";
import { guardedLookup, isAllowedAddress } from "../src/upstreams/address-guard.ts";
import { authHeaders } from "../src/upstreams/upstream-input.ts";
import { classifyUpstreamFault } from "../src/wiring/session-pool.ts";

const request = (headers: Record<string, string>, remoteAddress = "127.0.0.1") =>
  ({ headers, socket: { remoteAddress } }) as never;

describe("addresses", () => {
  it("the client is the rightmost address that is no trusted proxy; IPv6 counts by /64", () => {
    const direct = createClientAddress([]);
    expect(direct(request({ "x-forwarded-for": "1.2.3.4" }, "::ffff:9.9.9.9"))).toBe("9.9.9.9");
    expect(direct(request({}, "2001:db8:1:2:3:4:5:6"))).toBe("2001:db8:1:2::/64");
    expect(direct(request({}, "2001:db8::1"))).toBe("2001:db8:0:0::/64");
    const proxied = createClientAddress(["10.0.0.0/8", "::1"]);
    expect(proxied(request({ "x-forwarded-for": "6.6.6.6, 1.2.3.4, 10.0.0.7" }, "10.0.0.1"))).toBe("1.2.3.4");
    expect(proxied(request({ "x-forwarded-for": "6.6.6.6" }, "5.5.5.5"))).toBe("5.5.5.5");
    expect(proxied(request({ "x-forwarded-for": "junk" }, "::1"))).toBe("0:0:0:0::/64");
  });

  it("metadata, link-local and unspecified addresses are never allowed, private ones only when asked", () => {
    for (const address of [
      "169.254.169.254",
      "fe80::1",
      "0.0.0.0",
      "::",
      "::ffff:169.254.1.1",
      "fd00:ec2::254",
      "x",
    ]) {
      expect(isAllowedAddress(address, true)).toBe(false);
    }
    for (const address of ["127.0.0.1", "10.1.1.1", "::1", "fc00::1", "::ffff:192.168.0.1"]) {
      expect(isAllowedAddress(address, true)).toBe(true);
      expect(isAllowedAddress(address, false)).toBe(false);
    }
    expect(isAllowedAddress("8.8.8.8", false)).toBe(true);
  });

  it("a socket's lookup checks what the name resolves to", async () => {
    const ask = (host: string, allowPrivate: boolean, all: boolean) =>
      new Promise((resolve) => {
        guardedLookup(allowPrivate)(host, { all }, (error, address) => resolve(error?.code ?? address));
      });
    expect(await ask("localhost", false, true)).toBe("EACCES");
    expect(await ask("localhost", true, false)).toMatch(/^(127\.0\.0\.1|::1)$/);
    expect(await ask("localhost", true, true)).toEqual(
      expect.arrayContaining([expect.objectContaining({ family: expect.any(Number) })]),
    );
    expect(await ask("no-such-host.invalid", true, true)).toMatch(/^E/);
  });

  it("a foreign Host or Origin is refused, the gateway's own and configured ones pass", () => {
    const guard = createHostGuard(
      serverConfig.parse({ advertiseUrl: "https://gw.example", allowedOrigins: ["https://app.example"] }),
    );
    guard(request({ host: "localhost:8000" }));
    guard(request({ host: "localhost:8000", origin: "http://127.0.0.1:3000" }));
    guard(request({ host: "gw.example", origin: "https://app.example" }));
    expect(() => guard(request({ host: "evil.example" }))).toThrow(/Host/);
    expect(() => guard(request({}))).toThrow(/Host/);
    expect(() => guard(request({ host: "localhost", origin: "null" }))).toThrow(/Origin/);
    createHostGuard(serverConfig.parse({ allowedHosts: ["*"], allowedOrigins: ["*"] }))(
      request({ host: "x", origin: "https://y" }),
    );
  });
});

describe("failures", () => {
  const upstream = (code: ConstructorParameters<typeof UpstreamError>[0], phase: UpstreamError["phase"]) =>
    new UpstreamError(code, "text", {
      phase,
      httpStatus: 500,
      rpcCode: 1,
      networkCode: "ECONNRESET",
      retryAfterMs: 5,
    });

  it("become codes that say whether the call may have been executed", () => {
    expect(failureOf(upstream("upstream_timeout", "sent_no_response"), "u").code).toBe("upstream_timeout");
    expect(failureOf(upstream("upstream_overloaded", "refused"), "u").code).toBe("backend_unavailable");
    expect(failureOf(upstream("upstream_unreachable", "sent_no_response"), "u").code).toBe("outcome_unknown");
    expect(failureOf(upstream("upstream_unreachable", "not_sent"), "u").code).toBe("upstream_unreachable");
    const own = new GatewayError("forbidden", "x");
    expect(failureOf(own, "u")).toBe(own);
    expect(failureOf(new Error("odd"), "u").facts.publicCode).toBe("internal_error");
    for (const [code, expected] of [
      ["acquire_timeout", "acquire_timeout"],
      ["pool_closed", "overloaded"],
      ["upstream_unreachable", "upstream_unreachable"],
    ] as const) {
      expect(failureOf(new SessionPoolError(code, "x", { details: { retryAfterMs: 7 } }), "u").code).toBe(
        expected,
      );
    }
  });

  it("are told to the post hooks with their phase", () => {
    expect(outcomeOf(upstream("upstream_unreachable", "sent_no_response"))).toEqual({
      kind: "error",
      code: "upstream_unreachable",
      phase: "sent_no_response",
      httpStatus: 500,
      rpcCode: 1,
      networkCode: "ECONNRESET",
      retryAfterMs: 5,
    });
    const connect = new SessionPoolError("upstream_unreachable", "x", {
      cause: upstream("upstream_unreachable", "sent_no_response"),
    });
    expect(outcomeOf(connect)).toMatchObject({ phase: "not_sent", networkCode: "ECONNRESET" });
    expect(outcomeOf(new SessionPoolError("acquire_timeout", "x"))).toMatchObject({
      code: "acquire_timeout",
      phase: "not_sent",
    });
    expect(outcomeOf(new Error("odd"))).toMatchObject({ code: "internal_error" });
  });

  it("a plugin's refusal keeps its own status, number, code and headers", () => {
    const refusal = refusalOf({
      reason: "no",
      description: "",
      code: "custom",
      httpStatus: 418,
      mcpErrorCode: -31999,
      headers: { A: "b" },
    });
    expect(refusal.surface).toMatchObject({ httpStatus: 418, rpcCode: -31999 });
    expect(refusal.facts).toMatchObject({ publicCode: "custom", headers: { A: "b" } });
    expect(refusal.message).toBe("no");
  });

  it("tell the pool what they mean for the session", () => {
    const kinds = (
      [
        "upstream_unauthorized",
        "session_lost",
        "upstream_timeout",
        "aborted",
        "closed",
        "upstream_status",
      ] as const
    ).map((code) => classifyUpstreamFault(upstream(code, "sent_no_response")).kind);
    expect(kinds).toEqual(["unauthorized", "session_lost", "timeout", "aborted", "transport", "refused"]);
    expect(classifyUpstreamFault(new Error("x")).kind).toBe("local");
    expect(classifyUpstreamFault(upstream("session_lost", "refused"))).toEqual({
      kind: "session_lost",
      executed: false,
    });
  });
});

describe("sessions of clients", () => {
  const hello = { protocolVersion: "2025-11-25", clientInfo: { name: "c", version: "1" }, capabilities: {} };

  it("end when they are idle, and there are never more than allowed", () => {
    let now = 0;
    const ended: string[] = [];
    const sessions = new DownstreamSessions({
      maxSessions: 2,
      idleMs: 1_000,
      maxBufferedBytes: 10,
      onEnd: (session) => ended.push(session.id),
      now: () => now,
    });
    const first = sessions.open(localPrincipal, everything, hello);
    const busy = sessions.open(localPrincipal, everything, hello);
    busy.calls.set("1", new AbortController());
    expect(() => sessions.open(localPrincipal, everything, hello)).toThrow(/too many/);
    now = 2_000;
    sessions.open(localPrincipal, everything, hello);
    expect(ended).toEqual([first.id]);
    expect(sessions.size).toBe(2);
    sessions.end(first);
    sessions.close();
    expect(ended).toHaveLength(3);
  });

  it("of one user are never more than allowed, whoever else has some; those that ended make room", () => {
    const sessions = new DownstreamSessions({
      maxSessions: 4,
      maxPerPrincipal: 2,
      idleMs: 1_000,
      maxBufferedBytes: 10,
      onEnd: () => undefined,
    });
    const [ann, bob] = ["ann", "bob"].map((sub) => principalOf({ sub })) as [Principal, Principal];
    const first = sessions.open(ann, everything, hello);
    sessions.open(ann, everything, hello);
    expect(() => sessions.open(ann, everything, hello)).toThrow("too many client sessions of this user");
    sessions.open(bob, everything, hello);
    sessions.end(first);
    sessions.end(first);
    sessions.open(ann, everything, hello);
    expect(() => sessions.open(ann, everything, hello)).toThrow("of this user");
    sessions.open(bob, everything, hello);
    expect(() => sessions.open(principalOf({ sub: "eve" }), everything, hello)).toThrow("sessions are open");
    sessions.close();
  });

  it("keep a bounded number of messages for a stream that is not open, and cut a reader that is too slow", () => {
    const sessions = new DownstreamSessions({
      maxSessions: 1,
      idleMs: 1_000,
      maxBufferedBytes: 10,
      onEnd: () => undefined,
    });
    const session = sessions.open(localPrincipal, everything, hello);
    for (let index = 0; index < 150; index++) session.deliver(Buffer.from(`${index}`));
    const written: string[] = [];
    let destroyed = false;
    const response = {
      write: (chunk: Buffer) => written.push(chunk.toString()),
      end: () => undefined,
      once: () => undefined,
      writableLength: 100,
      destroy: () => {
        destroyed = true;
      },
    };
    session.attach(response as never);
    expect(written).toHaveLength(100);
    expect(written[0]).toContain("50");
    session.deliver(Buffer.from("late"));
    expect(destroyed).toBe(true);
    sessions.close();
  });
});

describe("small parts", () => {
  it("authorization becomes headers", () => {
    expect(authHeaders({ type: "basic", username: "u", password: "p" })).toEqual({
      authorization: "Basic dTpw",
    });
    expect(authHeaders({ type: "headers", headers: { a: "b" } })).toEqual({ a: "b" });
    expect(authHeaders({ type: "none" })).toEqual({});
  });
});
