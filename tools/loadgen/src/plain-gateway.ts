import { createPublicKey, hash, type KeyObject, randomUUID, verify } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool } from "undici";
import { announce } from "./forwarding.ts";

/**
 * The least that does what the gateway does for a call, written straight down on `node:http` and undici, without any code
 * of ours: `Host`, `Origin`, media type, length and nesting are checked, who calls is known by a verified token (remembered
 * by its hash), two limits are counted and told in headers, the session belongs to its user and its endpoint, knows its
 * calls in flight by their ids and has a session of the upstream, which counts its use; a call that takes too long,
 * is cancelled or whose client leaves is ended, the upstream gets an id of ours, the client its own, failures of the result
 * are looked for, and requests and calls are counted with their times. No retries, no plugins, no other revisions, no bounds
 * on what it remembers. It is the floor that the gateway is compared with.
 *
 * Usage: `node plain-gateway.ts UPSTREAM_URL`, the public key in `PUBLIC_KEY`; prints its own origin.
 */
const [, , upstreamUrl] = process.argv;
const pem = process.env["PUBLIC_KEY"];
if (upstreamUrl === undefined || pem === undefined) throw new Error("usage: plain-gateway.ts UPSTREAM_URL");

const upstream = new URL(upstreamUrl);
const pool = new Pool(upstream.origin, { connections: 64, headersTimeout: 0, bodyTimeout: 0 });
const publicKey = createPublicKey(pem);
const callTimeoutMs = 60_000;
const perSecond = 1_000_000;

interface User {
  readonly sub: string;
  readonly expiresAtMs: number;
}

interface Session {
  readonly user: string;
  readonly endpoint: string;
  readonly upstream: UpstreamSession;
  readonly calls: Map<string | number, AbortController>;
  usedAtMs: number;
}

/** What the upstream's session is used for: how often, when, and by how many calls now. */
interface UpstreamSession {
  readonly id: string | undefined;
  inFlight: number;
  uses: number;
  usedAtMs: number;
}

interface Limit {
  readonly name: string;
  readonly remaining: number;
  readonly resetSeconds: number;
}

interface RpcMessage {
  jsonrpc: "2.0";
  id?: unknown;
  method?: string;
  params?: { name?: unknown };
  result?: { isError?: unknown };
}

const users = new Map<string, User>();
const sessions = new Map<string, Session>();
const counters = new Map<string, { used: number; endsAtMs: number }>();
const requests = histogram();
const calls = histogram();
const hosts = new Set(["127.0.0.1", "localhost", "[::1]"]);
const outcomes = { ok: 0, failed: 0 };
const maxBytes = 4_194_304;
const maxDepth = 256;
let lastId = 0;

function histogram() {
  return { count: 0, sumMs: 0, buckets: new Array<number>(32).fill(0) };
}

function observe(into: ReturnType<typeof histogram>, startedMs: number): void {
  const ms = performance.now() - startedMs;
  const bucket = Math.min(31, Math.ceil(Math.log2(Math.max(1, ms * 1_000))));
  into.count++;
  into.sumMs += ms;
  into.buckets[bucket] = (into.buckets[bucket] ?? 0) + 1;
}

function checkHead({ host, origin }: IncomingHttpHeaders): void {
  const name = host?.slice(0, host.lastIndexOf(":"));
  if (name === undefined || !hosts.has(name)) throw new Error("403");
  if (origin !== undefined && !hosts.has(new URL(origin).hostname)) throw new Error("403");
}

/** A parser or serialiser may recurse: nesting is looked at before. */
function checkDepth(body: Buffer): void {
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

function userOf(authorization: string | undefined, key: KeyObject): User {
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

function charge(key: string): Limit {
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
function limitHeaders(limits: readonly Limit[]): Record<string, string> {
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

const stateless: UpstreamSession = { id: undefined, inFlight: 0, uses: 0, usedAtMs: 0 };
const common = { "content-type": "application/json", accept: "application/json, text/event-stream" };

function serve(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const startedMs = performance.now();
  checkHead(request.headers);
  const user = userOf(request.headers.authorization, publicKey);
  if (request.headers["content-type"] !== "application/json") throw new Error("415");
  checkDepth(body);
  const message = JSON.parse(body.toString("utf8")) as RpcMessage;
  const { id, method } = message;
  const { url: endpoint = "/" } = request;
  const sessionId = request.headers["mcp-session-id"];
  const session = typeof sessionId === "string" ? sessions.get(sessionId) : undefined;
  if (sessionId !== undefined && (session?.user !== user.sub || session.endpoint !== endpoint)) {
    throw new Error("404");
  }
  const headers: Record<string, string> = { ...common };
  for (const name of ["mcp-protocol-version", "mcp-method", "mcp-name"]) {
    const value = request.headers[name];
    if (typeof value === "string") headers[name] = value;
  }
  const leased = session?.upstream ?? stateless;
  if (leased.id !== undefined) headers["mcp-session-id"] = leased.id;
  const limits: Limit[] = [];
  if (method === "tools/call") {
    limits.push(charge(`user ${user.sub}`), charge(`tool ${String(message.params?.name)}`));
  }
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), callTimeoutMs);
  response.on("close", () => {
    if (!response.writableFinished) control.abort();
  });
  if (session !== undefined) session.usedAtMs = startedMs;
  if (session !== undefined && (typeof id === "string" || typeof id === "number")) {
    if (session.calls.has(id)) throw new Error("400");
    session.calls.set(id, control);
  }
  leased.inFlight++;
  leased.uses++;
  leased.usedAtMs = startedMs;
  if (id !== undefined) message.id = ++lastId;
  const over = () => {
    clearTimeout(timer);
    leased.inFlight--;
    if (typeof id === "string" || typeof id === "number") session?.calls.delete(id);
    observe(requests, startedMs);
    if (method === "tools/call") observe(calls, startedMs);
  };
  const chunks: Buffer[] = [];
  let status = 0;
  let opened: string | undefined;
  pool.dispatch(
    { path: upstream.pathname, method: "POST", headers, body: JSON.stringify(message) },
    {
      onRequestStart: (controller) => {
        const abort = () => controller.abort(new Error("the call is over"));
        if (control.signal.aborted) abort();
        else control.signal.addEventListener("abort", abort, { once: true });
      },
      onResponseStart: (_controller, code, responseHeaders) => {
        status = code;
        const name = responseHeaders["mcp-session-id"];
        if (typeof name === "string" && method === "initialize") opened = name;
      },
      onResponseData: (_controller, chunk) => {
        chunks.push(chunk);
      },
      onResponseEnd: () => {
        over();
        const [first = Buffer.alloc(0)] = chunks;
        const whole = chunks.length > 1 ? Buffer.concat(chunks) : first;
        if (id === undefined) response.writeHead(202, { "content-length": 0 }).end();
        else answer(whole);
        outcomes.ok++;
      },
      onResponseError: () => {
        over();
        outcomes.failed++;
        if (response.headersSent) response.destroy();
        else response.writeHead(502).end();
      },
    },
  );

  function answer(whole: Buffer): void {
    const answered = JSON.parse(whole.toString("utf8")) as RpcMessage;
    if (answered.result?.isError === true) outcomes.failed++;
    answered.id = id;
    const text = JSON.stringify(answered);
    const own: Record<string, string | number> = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    };
    if (method === "initialize") {
      const name = randomUUID();
      const leasedNow = { id: opened, inFlight: 0, uses: 0, usedAtMs: startedMs };
      const owned = { user: user.sub, endpoint, calls: new Map(), usedAtMs: startedMs };
      sessions.set(name, { ...owned, upstream: leasedNow });
      own["mcp-session-id"] = name;
    }
    if (limits.length > 0) Object.assign(own, limitHeaders(limits));
    response.writeHead(status, own);
    response.end(text);
  }
}

const server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    try {
      serve(request, response, Buffer.concat(chunks));
    } catch (error) {
      const status = Number((error as Error).message);
      response.writeHead(Number.isInteger(status) ? status : 400).end();
    }
  });
});
announce(server);
