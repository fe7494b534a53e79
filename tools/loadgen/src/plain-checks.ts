import { hash, type KeyObject, verify } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

// What the plain gateway checks and counts before it forwards. Whatever is refused throws an error that names the status.

export interface User {
  readonly sub: string;
  readonly expiresAtMs: number;
}

export interface Limit {
  readonly name: string;
  readonly remaining: number;
  readonly resetSeconds: number;
}

const perSecond = 1_000_000;
const users = new Map<string, User>();
const counters = new Map<string, { used: number; endsAtMs: number }>();
const hosts = new Set(["127.0.0.1", "localhost", "[::1]"]);
const maxBytes = 4_194_304;
const maxDepth = 256;

export function checkHead({ host, origin }: IncomingHttpHeaders): void {
  const name = host?.slice(0, host.lastIndexOf(":"));
  if (name === undefined || !hosts.has(name)) throw new Error("403");
  if (origin !== undefined && !hosts.has(new URL(origin).hostname)) throw new Error("403");
}

/** A parser or serialiser may recurse: nesting is looked at before. */
export function checkDepth(body: Buffer): void {
  if (body.length > maxBytes) throw new Error("413");
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < body.length; at++) {
    const byte = body[at];
    if (quoted) {
      if (byte === 0x5c) at++;
      else if (byte === 0x22) quoted = false;
    } else if (byte === 0x22) quoted = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > maxDepth) throw new Error("400");
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
}

export function userOf(authorization: string | undefined, key: KeyObject): User {
  const token = authorization?.slice(7) ?? "";
  const digest = hash("sha256", token, "base64");
  const known = users.get(digest);
  if (known !== undefined && known.expiresAtMs > Date.now()) return known;
  const [head = "", body = "", signature = ""] = token.split(".");
  const signed = Buffer.from(`${head}.${body}`);
  const options = { key, dsaEncoding: "ieee-p1363" } as const;
  if (!verify("sha256", signed, options, Buffer.from(signature, "base64url"))) throw new Error("401");
  const { sub, exp } = JSON.parse(Buffer.from(body, "base64url").toString("utf8"));
  const user = { sub: String(sub), expiresAtMs: Number(exp) * 1_000 };
  users.set(digest, user);
  return user;
}

export function charge(key: string): Limit {
  const now = Date.now();
  let counter = counters.get(key);
  if (counter === undefined || now >= counter.endsAtMs) {
    counter = { used: 0, endsAtMs: now + 1_000 };
    counters.set(key, counter);
  }
  if (counter.used >= perSecond) throw new Error("429");
  const remaining = perSecond - ++counter.used;
  return { name: key, remaining, resetSeconds: Math.ceil((counter.endsAtMs - now) / 1_000) };
}

/** What draft-ietf-httpapi-ratelimit-headers says of each limit, and what older clients look for, of the least one. */
export function limitHeaders(limits: readonly Limit[]): Record<string, string> {
  const [least] = [...limits].sort((a, b) => a.remaining - b.remaining);
  const resetSeconds = least?.resetSeconds ?? 0;
  return {
    ratelimit: limits.map((each) => `"${each.name}";r=${each.remaining};t=${each.resetSeconds}`).join(", "),
    "ratelimit-policy": limits.map((each) => `"${each.name}";q=${perSecond};w=1`).join(", "),
    "x-ratelimit-limit": String(perSecond),
    "x-ratelimit-remaining": String(least?.remaining ?? 0),
    "x-ratelimit-reset": String(Math.ceil(Date.now() / 1_000) + resetSeconds),
  };
}
