import type { IncomingHttpHeaders } from "node:http";
import type { Pool } from "undici";

/**
 * What any bridge has to do for a call of a client without sessions (2026-07-28) to an upstream with sessions (2025-11-25
 * and before), written straight down, without any code of ours: the envelope and the headers that mirror it are checked,
 * each user has a session at the upstream that says of itself what the client says, the call is known to it while it runs,
 * what the upstream's revision does not know is taken out, and the answer gets what the client's revision asks of it. What
 * an upstream says before its answer is not carried over, and a log level is not set.
 */
export interface Translation {
  /** What a request says of its client. @throws an error that names the HTTP status where the envelope or a header is wrong */
  speakerOf(headers: IncomingHttpHeaders, message: RpcMessage): Speaker;
  /** The session of a user's client; the first time one has to be opened. */
  sessionOf(user: string, speaker: Speaker): BridgedSession | Promise<BridgedSession>;
  /** Forgets a session that the upstream no longer knows. */
  forget(session: BridgedSession): void;
  /** Tells the upstream that a call is given up: of a client with a session a closed connection says nothing. */
  cancel(session: BridgedSession, id: unknown): void;
}

/** A JSON-RPC message, as far as it is looked at. */
export interface RpcMessage {
  jsonrpc: "2.0";
  id?: unknown;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { code: number };
}

/** What a session of the upstream is used for: how often, when, and by how many calls now. */
export interface UpstreamSession {
  readonly id: string | undefined;
  inFlight: number;
  uses: number;
  usedAtMs: number;
}

/** A session that was opened for a client without one. */
export interface BridgedSession extends UpstreamSession {
  readonly key: string;
  /** The revision that was agreed on. */
  readonly version: string;
  /** The calls that run in it: what the upstream asks outside of a call's stream is for the only one. */
  readonly calls: Set<BridgedCall>;
}

/** What a question of the upstream is judged by, and who is asked. */
export interface BridgedCall {
  readonly speaker: Speaker;
  readonly askable: boolean;
  /** Answers that the client gave beforehand. */
  readonly given: unknown;
  readonly control: AbortController;
}

/** What a client says of itself with every request. */
export interface Speaker {
  readonly info: object | undefined;
  readonly capabilities: object;
}

const REVISION = { modern: "2026-07-28", legacy: "2025-11-25" } as const;
const RESERVED = "io.modelcontextprotocol/";
const OWN = { name: "plain-gateway", version: "1.0.0" };
const NAMED: Readonly<Record<string, string>> = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
};
const REMOVED = new Set(["initialize", "ping", "logging/setLevel", "resources/subscribe"]);
const ASKING = new Set(["tools/call", "prompts/get", "resources/read"]);
const CACHEABLE = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read",
]);

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function decoded(header: string): string {
  if (!header.startsWith("=?base64?") || !header.endsWith("?=")) return header;
  return Buffer.from(header.slice(9, -2), "base64").toString("utf8");
}

function speakerOf(headers: IncomingHttpHeaders, { method = "", params }: RpcMessage): Speaker {
  const meta = params?.["_meta"];
  if (!isObject(meta)) throw new Error("400");
  const version = meta[`${RESERVED}protocolVersion`];
  const capabilities = meta[`${RESERVED}clientCapabilities`];
  const info = meta[`${RESERVED}clientInfo`];
  if (version !== REVISION.modern || !isObject(capabilities)) throw new Error("400");
  if (info !== undefined) {
    if (!isObject(info) || typeof info["name"] !== "string" || typeof info["version"] !== "string") {
      throw new Error("400");
    }
  }
  if (REMOVED.has(method)) throw new Error("404");
  if (headers["mcp-protocol-version"] !== version || headers["mcp-method"] !== method) throw new Error("400");
  const member = NAMED[method];
  const name = member === undefined ? undefined : params?.[member];
  if (typeof name === "string" && decoded(String(headers["mcp-name"])) !== name) throw new Error("400");
  return { info, capabilities };
}

/** Takes out of a request what the upstream's revision does not know; returns what the client answered beforehand. */
export function toLegacy({ params = {} }: RpcMessage): unknown {
  const { _meta: meta, inputResponses: given } = params;
  const kept: Record<string, unknown> = {};
  if (isObject(meta)) {
    for (const key in meta) if (!key.startsWith(RESERVED)) kept[key] = meta[key];
  }
  params["_meta"] = kept;
  if (given !== undefined) delete params["inputResponses"];
  if (params["requestState"] !== undefined) delete params["requestState"];
  return given;
}

/** Whether a client may be asked something during such a call. */
export const isAsking = (method: string | undefined): boolean => ASKING.has(method ?? "");

/** Gives an answer what the client's revision asks of it; returns the HTTP status that belongs to it. */
export function toModern(answered: RpcMessage, method = ""): number {
  const { result, error } = answered;
  if (error?.code === -32_601) return 404;
  if (error?.code === -32_002) error.code = -32_602;
  if (error?.code === -32_042) error.code = -32_603;
  if (result === undefined) return 200;
  result["resultType"] ??= "complete";
  if (CACHEABLE.has(method)) {
    result["ttlMs"] ??= 0;
    result["cacheScope"] ??= "private";
  }
  return 200;
}

/** A translation in front of the upstream at `path`. */
export function createTranslation(
  pool: Pool,
  path: string,
  common: Readonly<Record<string, string>>,
): Translation {
  const sessions = new Map<string, BridgedSession | Promise<BridgedSession>>();
  let lastId = 0;

  async function post(message: object, headers: Readonly<Record<string, string>> = {}) {
    const body = JSON.stringify({ jsonrpc: "2.0", ...message });
    const answer = await pool.request({ path, method: "POST", headers: { ...common, ...headers }, body });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw new Error("502");
    return { text, session: answer.headers["mcp-session-id"] };
  }

  async function open(key: string, { info = OWN, capabilities }: Speaker): Promise<BridgedSession> {
    const params = { protocolVersion: REVISION.legacy, capabilities, clientInfo: info };
    const id = `open ${++lastId}`;
    const { text, session } = await post({ id, method: "initialize", params });
    const { result } = JSON.parse(text) as RpcMessage;
    if (typeof session !== "string" || result === undefined) throw new Error("502");
    const version = String(result["protocolVersion"]);
    const headers = { "mcp-session-id": session, "mcp-protocol-version": version };
    await post({ method: "notifications/initialized" }, headers);
    return { key, id: session, version, calls: new Set(), inFlight: 0, uses: 0, usedAtMs: 0 };
  }

  return {
    speakerOf,
    sessionOf: (user, speaker) => {
      const key = JSON.stringify([user, speaker.capabilities, speaker.info]);
      const known = sessions.get(key);
      if (known !== undefined) return known;
      const opening = open(key, speaker);
      sessions.set(key, opening);
      opening.then(
        (session) => sessions.set(key, session),
        () => sessions.delete(key),
      );
      return opening;
    },
    forget: ({ key }) => {
      sessions.delete(key);
    },
    cancel: ({ id: session, version }, requestId) => {
      const headers = { "mcp-session-id": String(session), "mcp-protocol-version": version };
      post({ method: "notifications/cancelled", params: { requestId } }, headers).catch(() => undefined);
    },
  };
}
