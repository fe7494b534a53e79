import { createPublicKey, randomUUID } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool } from "undici";
import { announce } from "./forwarding.ts";
import {
  charge,
  checkDepth,
  checkHead,
  type Limit,
  limitHeaders,
  type User,
  userOf,
} from "./plain-checks.ts";
import {
  type BridgedCall,
  type BridgedSession,
  createTranslation,
  isAsking,
  type RpcMessage,
  toLegacy,
  toModern,
  type UpstreamSession,
} from "./plain-translation.ts";

/**
 * The least that does what the gateway does for a call, written straight down on `node:http` and undici, without any code
 * of ours: `Host`, `Origin`, media type, length and nesting are checked, who calls is known by a verified token (remembered
 * by its hash), two limits are counted and told in headers, the session belongs to its user and its endpoint, knows its
 * calls in flight by their ids and has a session of the upstream, which counts its use; a call that takes too long,
 * is cancelled or whose client leaves is ended, the upstream gets an id of ours, the client its own, failures of the result
 * are looked for, and requests and calls are counted with their times. With `bridged` its clients speak the revision without
 * sessions, the upstream one with them (see plain-translation.ts). No retries, no plugins, no bounds on what it remembers. It
 * is the floor that the gateway is compared with.
 *
 * Usage: `node plain-gateway.ts UPSTREAM_URL [bridged]`, the public key in `PUBLIC_KEY`; prints its own origin.
 */
const [, , upstreamUrl, mode] = process.argv;
const pem = process.env["PUBLIC_KEY"];
if (upstreamUrl === undefined || pem === undefined) throw new Error("usage: plain-gateway.ts UPSTREAM_URL");

const upstream = new URL(upstreamUrl);
const pool = new Pool(upstream.origin, { connections: 64, headersTimeout: 0, bodyTimeout: 0 });
const publicKey = createPublicKey(pem);
const callTimeoutMs = 60_000;

interface Session {
  readonly user: string;
  readonly endpoint: string;
  readonly upstream: UpstreamSession;
  readonly calls: Map<string | number, AbortController>;
  usedAtMs: number;
}

const sessions = new Map<string, Session>();
const requests = histogram();
const calls = histogram();
const outcomes = { ok: 0, failed: 0 };
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

const stateless: UpstreamSession = { id: undefined, inFlight: 0, uses: 0, usedAtMs: 0 };
const common = { "content-type": "application/json", accept: "application/json, text/event-stream" };
const translation = mode === "bridged" ? createTranslation(pool, upstream.pathname, common) : undefined;

/** A request that was let through. */
interface Admitted {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly message: RpcMessage;
  readonly user: User;
  readonly session: Session | undefined;
  readonly limits: readonly Limit[];
  readonly startedMs: number;
}

function serve(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const startedMs = performance.now();
  checkHead(request.headers);
  const user = userOf(request.headers.authorization, publicKey);
  if (request.headers["content-type"] !== "application/json") throw new Error("415");
  checkDepth(body);
  const message = JSON.parse(body.toString("utf8")) as RpcMessage;
  const { id, method } = message;
  const { url: endpoint = "/" } = request;
  const speaker = translation?.speakerOf(request.headers, message);
  const sessionId = speaker === undefined ? request.headers["mcp-session-id"] : undefined;
  const session = typeof sessionId === "string" ? sessions.get(sessionId) : undefined;
  if (sessionId !== undefined && (session?.user !== user.sub || session.endpoint !== endpoint)) {
    throw new Error("404");
  }
  if (session !== undefined && isId(id) && session.calls.has(id)) throw new Error("400");
  const limits: Limit[] = [];
  if (method === "tools/call") {
    limits.push(charge(`user ${user.sub}`), charge(`tool ${String(message.params?.["name"])}`));
  }
  const admitted = { request, response, message, user, session, limits, startedMs };
  if (translation === undefined || speaker === undefined) {
    forward(admitted, session?.upstream ?? stateless, plainHeaders(request.headers, session));
    return;
  }
  const leased = translation.sessionOf(user.sub, speaker);
  const go = (open: BridgedSession) => {
    const given = toLegacy(message);
    const control = new AbortController();
    const call = { speaker, askable: isAsking(method), given, control };
    const headers = { ...common, "mcp-protocol-version": open.version, "mcp-session-id": String(open.id) };
    forward(admitted, open, headers, { session: open, call });
  };
  if (leased instanceof Promise) leased.then(go).catch((error: Error) => refuse(response, error));
  else go(leased);
}

const isId = (id: unknown): id is string | number => typeof id === "string" || typeof id === "number";

/** The headers for an upstream of the client's own revision. */
function plainHeaders(from: IncomingHttpHeaders, session: Session | undefined): Record<string, string> {
  const headers: Record<string, string> = { ...common };
  for (const name of ["mcp-protocol-version", "mcp-method", "mcp-name"]) {
    const value = from[name];
    if (typeof value === "string") headers[name] = value;
  }
  if (session?.upstream.id !== undefined) headers["mcp-session-id"] = session.upstream.id;
  return headers;
}

/** What a request needs in a session that was opened for a client without one. */
interface Bridged {
  readonly session: BridgedSession;
  readonly call: BridgedCall;
}

function forward(
  admitted: Admitted,
  leased: UpstreamSession,
  headers: Record<string, string>,
  bridged?: Bridged,
): void {
  const { request, response, message, user, session, limits, startedMs } = admitted;
  const { id, method } = message;
  const control = bridged?.call.control ?? new AbortController();
  const timer = setTimeout(() => control.abort(), callTimeoutMs);
  response.on("close", () => {
    if (!response.writableFinished) control.abort();
  });
  if (session !== undefined) session.usedAtMs = startedMs;
  if (session !== undefined && isId(id)) session.calls.set(id, control);
  leased.inFlight++;
  leased.uses++;
  leased.usedAtMs = startedMs;
  bridged?.session.calls.add(bridged.call);
  if (id !== undefined) message.id = ++lastId;
  const over = () => {
    clearTimeout(timer);
    leased.inFlight--;
    bridged?.session.calls.delete(bridged.call);
    if (isId(id)) session?.calls.delete(id);
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
        const abort = () => {
          if (bridged !== undefined) translation?.cancel(bridged.session, message.id);
          controller.abort(new Error("the call is over"));
        };
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
    if (answered.result?.["isError"] === true) outcomes.failed++;
    answered.id = id;
    if (bridged !== undefined) {
      if (status === 404) translation?.forget(bridged.session);
      status = toModern(answered, method);
    }
    const text = JSON.stringify(answered);
    const own: Record<string, string | number> = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    };
    if (method === "initialize") {
      const name = randomUUID();
      const leasedNow = { id: opened, inFlight: 0, uses: 0, usedAtMs: startedMs };
      const { url: endpoint = "/" } = request;
      const owned = { user: user.sub, endpoint, calls: new Map(), usedAtMs: startedMs };
      sessions.set(name, { ...owned, upstream: leasedNow });
      own["mcp-session-id"] = name;
    }
    if (limits.length > 0) Object.assign(own, limitHeaders(limits));
    response.writeHead(status, own);
    response.end(text);
  }
}

function refuse(response: ServerResponse, error: Error): void {
  const status = Number(error.message);
  response.writeHead(Number.isInteger(status) ? status : 400).end();
}

const server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    try {
      serve(request, response, Buffer.concat(chunks));
    } catch (error) {
      refuse(response, error as Error);
    }
  });
});
announce(server);
