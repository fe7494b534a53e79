import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { countCpuWaits } from "./cpu-waits.ts";

/** An answer, with the time that it took. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: bodies of any shape are looked into.
  readonly body: any;
  readonly ms: number;
  /** The same without the time in which the asker, or the server whose process is known, had to wait for a processor. */
  readonly ownMs: number;
}

/** What to send. */
export interface RequestOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Longest wait for the whole. Default 30 000. */
  readonly timeoutMs?: number;
  /** Keeps connections; without one each request has its own. */
  readonly agent?: Agent;
  /** The process that answers. */
  readonly serverPid?: number | undefined;
}

/** Sends a request; rejects when there is no answer. */
export async function send(url: string, options: RequestOptions = {}): Promise<Answer> {
  const { body, headers = {}, timeoutMs = 30_000, agent = false, serverPid } = options;
  const waitedMs = countCpuWaits(...(serverPid === undefined ? [] : [serverPid]));
  const startedMs = performance.now();
  const outgoing = request(url, {
    method: options.method ?? (body === undefined ? "GET" : "POST"),
    agent,
    signal: AbortSignal.timeout(timeoutMs),
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
  });
  outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString("utf8");
  const isJson = response.headers["content-type"]?.includes("json") === true && text !== "";
  const parsed = isJson ? JSON.parse(text) : undefined;
  const ms = performance.now() - startedMs;
  const ownMs = Math.max(0, ms - waitedMs());
  return { status: response.statusCode ?? 0, headers: response.headers, text, body: parsed, ms, ownMs };
}

/** Connections that stay open between the requests of one prober. */
export function keepingAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 4 });
}
