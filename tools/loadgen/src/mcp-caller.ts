import { Pool } from "undici";
import type { Caller } from "./open-loop.ts";
import type { Outcome } from "./recorder.ts";

/** How a caller speaks: with sessions, stateless, or plain JSON-RPC without a handshake. */
export type Front = "legacy" | "modern" | "plain";

/** Where calls go, as whom, and what they ask for. */
export interface McpTarget {
  readonly url: string;
  readonly front: Front;
  /** One user per token; calls go round them. Without tokens nothing is sent. */
  readonly tokens: readonly string[];
  /** Legacy sessions to spread the calls over; at least one per token is opened. */
  readonly sessions: number;
  readonly connections: number;
  readonly tool: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** A ready caller: sessions are open. */
export interface McpCaller {
  readonly call: Caller;
  /** How many calls each user got answered, by the user's number. */
  answeredByUser(): readonly number[];
  close(): Promise<void>;
}

const REVISION = { legacy: "2025-11-25", modern: "2026-07-28" } as const;
const CLIENT = { name: "gatewright-loadgen", version: "1.0.0" };
const RESULT = Buffer.from('"result"');
const IS_ERROR = Buffer.from('"isError":true');

const common = (token: string | undefined): Record<string, string> => ({
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
  ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
});

async function openSession(url: string, token: string | undefined): Promise<Record<string, string>> {
  const post = (body: object, headers: Record<string, string>) =>
    fetch(url, { method: "POST", headers, body: JSON.stringify({ jsonrpc: "2.0", ...body }) });
  const params = { protocolVersion: REVISION.legacy, capabilities: {}, clientInfo: CLIENT };
  const opened = await post({ id: 0, method: "initialize", params }, common(token));
  const text = await opened.text();
  const session = opened.headers.get("mcp-session-id");
  if (!opened.ok || session === null) throw new Error(`initialize was answered ${opened.status}: ${text}`);
  const headers = {
    ...common(token),
    "mcp-session-id": session,
    "mcp-protocol-version": REVISION.legacy,
  };
  const initialized = await post({ method: "notifications/initialized" }, headers);
  await initialized.arrayBuffer();
  return headers;
}

/** What an answer means: 429 and 503 are refusals under load, everything else but a result is an error. */
function outcomeOf(status: number, body: Buffer): Outcome {
  if (status === 429 || status === 503) return "shed";
  if (status !== 200) return `http_${status}`;
  if (!body.includes(RESULT)) return "rpc_error";
  return body.includes(IS_ERROR) ? "tool_error" : "ok";
}

/** The envelope of a call, cut where its id goes. */
function bodyParts(target: McpTarget): readonly [string, string] {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": REVISION.modern,
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const params = {
    name: target.tool,
    arguments: target.args,
    ...(target.front === "modern" ? { _meta: meta } : {}),
  };
  return ['{"jsonrpc":"2.0","id":', `,"method":"tools/call","params":${JSON.stringify(params)}}`];
}

async function headerSets(target: McpTarget): Promise<readonly Record<string, string>[]> {
  const tokens: readonly (string | undefined)[] = target.tokens.length > 0 ? target.tokens : [undefined];
  if (target.front === "legacy") {
    const count = Math.ceil(Math.max(target.sessions, tokens.length) / tokens.length) * tokens.length;
    const sessions: Record<string, string>[] = [];
    for (let index = 0; index < count; index += 1) {
      sessions.push(await openSession(target.url, tokens[index % tokens.length]));
    }
    return sessions;
  }
  return tokens.map((token) =>
    target.front === "plain"
      ? common(token)
      : {
          ...common(token),
          "mcp-protocol-version": REVISION.modern,
          "mcp-method": "tools/call",
          "mcp-name": target.tool,
        },
  );
}

/** Opens what has to be open; call `index` goes out as user `index mod users`, session `index mod sessions`. */
export async function createMcpCaller(target: McpTarget): Promise<McpCaller> {
  const url = new URL(target.url);
  const headers = await headerSets(target);
  const users = Math.max(1, target.tokens.length);
  const answered = new Array<number>(users).fill(0);
  const [before, after] = bodyParts(target);
  const pool = new Pool(url.origin, {
    connections: target.connections,
    pipelining: 1,
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
  });

  const call: Caller = (index, done) => {
    let status = 0;
    let body: Buffer | undefined;
    pool.dispatch(
      {
        path: url.pathname,
        method: "POST",
        headers: headers[index % headers.length] ?? {},
        body: `${before}${index + 1}${after}`,
      },
      {
        onRequestStart: () => undefined,
        onResponseStart: (_controller, statusCode) => {
          status = statusCode;
        },
        onResponseData: (_controller, chunk) => {
          body = body === undefined ? chunk : Buffer.concat([body, chunk]);
        },
        onResponseEnd: () => {
          const outcome = outcomeOf(status, body ?? Buffer.alloc(0));
          if (outcome === "ok") answered[index % users] = (answered[index % users] ?? 0) + 1;
          done(outcome);
        },
        onResponseError: (_controller, error) => {
          done(`network_${(error as NodeJS.ErrnoException).code ?? error.name}`);
        },
      },
    );
  };
  return { call, answeredByUser: () => answered, close: () => pool.destroy() };
}
