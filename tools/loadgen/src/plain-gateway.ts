import { createPublicKey, hash, type KeyObject, randomUUID, verify } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Pool } from "undici";

/**
 * The least that does what the gateway does for a call, written straight down on `node:http` and undici, without any code
 * of ours: who calls is known by a verified token (remembered by its hash), two limits are counted, the session belongs to
 * its user and has a session of the upstream, a call that takes too long or whose client leaves is ended, the upstream
 * gets an id of ours, the client its own, failures of the result are looked for, and all is counted. No retries, no
 * plugins, no other revisions, no bounds on what it remembers. It is the floor that the gateway is compared with.
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
  readonly upstreamId: string | undefined;
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
const latencies = new Array<number>(32).fill(0);
const outcomes = { ok: 0, failed: 0 };
let lastId = 0;

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

function charge(key: string): number {
  const now = Date.now();
  let counter = counters.get(key);
  if (counter === undefined || now >= counter.endsAtMs) {
    counter = { used: 0, endsAtMs: now + 1_000 };
    counters.set(key, counter);
  }
  if (counter.used >= perSecond) throw new Error("429");
  return perSecond - ++counter.used;
}

const common = { "content-type": "application/json", accept: "application/json, text/event-stream" };

function serve(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const startedMs = performance.now();
  const user = userOf(request.headers.authorization, publicKey);
  const message = JSON.parse(body.toString("utf8")) as RpcMessage;
  const { id, method } = message;
  const sessionId = request.headers["mcp-session-id"];
  const session = typeof sessionId === "string" ? sessions.get(sessionId) : undefined;
  if (sessionId !== undefined && session?.user !== user.sub) throw new Error("404");
  const headers: Record<string, string> = { ...common };
  for (const name of ["mcp-protocol-version", "mcp-method", "mcp-name"]) {
    const value = request.headers[name];
    if (typeof value === "string") headers[name] = value;
  }
  if (session?.upstreamId !== undefined) headers["mcp-session-id"] = session.upstreamId;
  let remaining = 0;
  if (method === "tools/call") {
    remaining = Math.min(charge(`user ${user.sub}`), charge(`tool ${String(message.params?.name)}`));
  }
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), callTimeoutMs);
  response.on("close", () => {
    if (!response.writableFinished) control.abort();
  });
  if (id !== undefined) message.id = ++lastId;
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
        clearTimeout(timer);
        const [first = Buffer.alloc(0)] = chunks;
        const whole = chunks.length > 1 ? Buffer.concat(chunks) : first;
        if (id === undefined) response.writeHead(202, { "content-length": 0 }).end();
        else answer(whole);
        outcomes.ok++;
        const bucket = Math.min(
          31,
          Math.ceil(Math.log2(Math.max(1, (performance.now() - startedMs) * 1_000))),
        );
        latencies[bucket] = (latencies[bucket] ?? 0) + 1;
      },
      onResponseError: () => {
        clearTimeout(timer);
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
      sessions.set(name, { user: user.sub, upstreamId: opened });
      own["mcp-session-id"] = name;
    }
    if (method === "tools/call") own["ratelimit-remaining"] = remaining;
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
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});

const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(0);
}, 500).unref();
