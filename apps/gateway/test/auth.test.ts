import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { exportJWK, SignJWT } from "jose";
import { describe, expect, it } from "vitest";
import { newApiKey } from "../src/auth/api-keys.ts";
import { createAuthenticator, requireScope } from "../src/auth/authenticator.ts";
import { mintToken } from "../src/auth/mint-token.ts";
import { localPrincipal, type Principal, principalOf } from "../src/auth/principal.ts";
import { TokenCache } from "../src/auth/token-cache.ts";
import { authConfig } from "../src/config/auth.ts";
import { loadSecret } from "../src/secret/gateway-secret.ts";

const secret = loadSecret(tmpdir(), { GATEWRIGHT_SECRET: "s".repeat(32) });
const request = { user: "u", scopes: ["mcp"] as const, audience: "gatewright", expiresInSeconds: 60 };

async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run();
    return "none";
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`;
  }
}

describe("authentication", () => {
  it("verifies a token once, then knows it without a promise until it runs out", async () => {
    let now = Date.now();
    const auth = await createAuthenticator(authConfig.parse({}), secret, () => now);
    const header = `Bearer ${await mintToken(secret, { ...request, tenant: "t", servers: ["a"] })}`;
    const first = auth.authenticate(header);
    expect(first).toBeInstanceOf(Promise);
    const principal = await first;
    expect(principal).toMatchObject({ user: "u", tenant: "t", isAdmin: false });
    expect(principal.servers?.has("a")).toBe(true);
    expect(auth.authenticate(header)).toBe(principal);
    now += 61_000;
    expect(auth.authenticate(header)).toBeInstanceOf(Promise);
    await Promise.resolve(auth.authenticate(header)).catch(() => undefined);
  });

  it("refuses what is no token, foreign, expired or for somebody else, and says which", async () => {
    const auth = await createAuthenticator(authConfig.parse({ issuer: "me" }), secret);
    const other = loadSecret(tmpdir(), { GATEWRIGHT_SECRET: "o".repeat(32) });
    const ask = (header: string | undefined) => codeOf(() => auth.authenticate(header));
    expect(await ask(undefined)).toContain("required");
    expect(await ask("Basic abc")).toContain("not a bearer token");
    expect(await ask(`Bearer ${"x".repeat(9_000)}`)).toContain("not a bearer token");
    expect(await ask(`Bearer ${await mintToken(other, { ...request, issuer: "me" })}`)).toContain(
      "not valid",
    );
    expect(
      await ask(`Bearer ${await mintToken(secret, { ...request, issuer: "me", expiresInSeconds: -60 })}`),
    ).toContain("expired");
    expect(
      await ask(`Bearer ${await mintToken(secret, { ...request, issuer: "me", audience: "x" })}`),
    ).toContain("not for this gateway");
    expect(await ask(`Bearer ${await mintToken(secret, request)}`)).toContain("not for this gateway");
    expect(await ask(`Bearer ${await mintToken(secret, { ...request, issuer: "me" })}`)).toBe("none");
  });

  it("refuses a user or a tenant that can be no part of a key: one with a lone surrogate", async () => {
    const auth = await createAuthenticator(authConfig.parse({}), secret);
    for (const claims of [{ user: "\ud800" }, { tenant: "a\udc00" }]) {
      const token = mintToken(secret, { ...request, ...claims });
      expect(await codeOf(() => auth.authenticate(`Bearer ${token}`))).toContain(
        "unauthorized: user and tenant",
      );
    }
    const entry = { name: "ci", sha256: newApiKey().sha256 };
    expect(authConfig.safeParse({ apiKeys: [entry] }).success).toBe(true);
    for (const bad of [{ name: "\ud800" }, { user: "\ud800" }, { tenant: "\ud800" }])
      expect(authConfig.safeParse({ apiKeys: [{ ...entry, ...bad }] }).success).toBe(false);
  });

  it.each(["ec", "rsa"] as const)(
    "verifies tokens under a configured %s key and under a JWKS",
    async (type) => {
      const pair =
        type === "ec"
          ? generateKeyPairSync("ec", { namedCurve: "P-256" })
          : generateKeyPairSync("rsa", { modulusLength: 2_048 });
      const alg = type === "ec" ? "ES256" : "RS256";
      const token = await new SignJWT({ scope: "mcp admin", email: "a@b", teams: ["x", 1] })
        .setProtectedHeader({ alg, kid: "k" })
        .setSubject("u")
        .setAudience("gatewright")
        .setExpirationTime("1m")
        .sign(pair.privateKey);
      const publicKey = pair.publicKey.export({ type: "spki", format: "pem" }).toString();
      const direct = await createAuthenticator(authConfig.parse({ publicKey }), secret);
      const principal = await direct.authenticate(`Bearer ${token}`);
      expect(principal).toMatchObject({ isAdmin: true, identity: { sub: "u", email: "a@b" }, teams: ["x"] });
      const jwk = { ...(await exportJWK(pair.publicKey)), kid: "k", alg };
      const keys = createServer((_, response) => response.end(JSON.stringify({ keys: [jwk] })));
      await new Promise<void>((resolve) => keys.listen(0, "127.0.0.1", resolve));
      const jwksUrl = `http://127.0.0.1:${(keys.address() as AddressInfo).port}/jwks`;
      const remote = await createAuthenticator(authConfig.parse({ jwksUrl }), secret);
      expect(await remote.authenticate(`Bearer ${token}`)).toMatchObject({ user: "u" });
      keys.close();
    },
  );

  it("a key that is none is a configuration error", async () => {
    const config = authConfig.parse({ publicKey: "nonsense" });
    await expect(createAuthenticator(config, secret)).rejects.toThrow(/auth\.publicKey/);
  });

  it("without auth everybody is local; scopes are checked", async () => {
    const auth = await createAuthenticator(authConfig.parse({ required: false }), secret);
    expect(auth.authenticate(undefined)).toBe(localPrincipal);
    requireScope(localPrincipal, "admin");
    expect(() => requireScope(principalOf({ sub: "x", scope: "other" }), "mcp")).toThrow(/lacks the scope/);
  });

  it("keeps a bounded number of tokens", () => {
    const cache = new TokenCache(2, () => 0);
    for (const token of ["a", "b", "c"]) cache.set(token, localPrincipal, 10);
    expect(cache.size).toBe(2);
    expect(cache.get("a")).toBeUndefined();
    expect(cache.get("c")).toBe(localPrincipal);
    cache.set("d", localPrincipal, 0);
    expect(cache.get("d")).toBeUndefined();
  });
});

describe("API keys", () => {
  const made = newApiKey();
  const entry = { name: "ci", sha256: made.sha256, scopes: ["mcp"], tenant: "t", servers: ["a"] };
  const authOf = (apiKeys: object[], now?: () => number) =>
    createAuthenticator(authConfig.parse({ apiKeys }), secret, now);

  it("one is known by its hash alone, without a promise, as whom its entry says", async () => {
    const auth = await authOf([entry]);
    const principal = auth.authenticate(`Bearer ${made.key}`);
    expect(principal).toMatchObject({ user: "ci", tenant: "t", isAdmin: false });
    expect((principal as Principal).servers?.has("a")).toBe(true);
    expect(made.key).toMatch(/^gwk_[\w-]{43}$/);
  });

  it("one that nobody knows, and one that has expired, are refused", async () => {
    const auth = await authOf([{ ...entry, expiresAt: "2026-01-01T00:00:00Z" }], () =>
      Date.parse("2026-01-02"),
    );
    expect(await codeOf(() => auth.authenticate(`Bearer ${made.key}`))).toMatch(/^unauthorized: .*expired/);
    expect(await codeOf(() => auth.authenticate("Bearer gwk_other"))).toMatch(/^unauthorized: .*not valid/);
  });

  it("does not stand for the JWT's user of the same name", async () => {
    const auth = await authOf([{ ...entry, user: "u", tenant: undefined, servers: undefined }]);
    const byKey = auth.authenticate(`Bearer ${made.key}`) as Principal;
    const byToken = await auth.authenticate(`Bearer ${await mintToken(secret, request)}`);
    expect([byKey.user, byToken.user]).toEqual(["u", "u"]);
    expect(byKey.key).not.toBe(byToken.key);
  });

  it("refuses a hash that is none", () => {
    expect(
      authConfig.safeParse({ apiKeys: [{ ...entry, sha256: "abc" }] }).error?.issues[0]?.message,
    ).toMatch(/SHA-256/);
  });
});
