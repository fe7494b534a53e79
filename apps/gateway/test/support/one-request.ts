import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";

/** An answer on a connection of its own. */
export interface OneAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
  readonly body: any;
}

/** Sends a request on a connection of its own, so that a balancer has a choice for each. */
export async function oneRequest(
  url: string,
  options: {
    readonly method?: string;
    readonly body?: unknown;
    readonly headers?: Readonly<Record<string, string>>;
    readonly timeoutMs?: number;
  } = {},
): Promise<OneAnswer> {
  const { body, headers = {}, timeoutMs = 30_000 } = options;
  const outgoing = request(url, {
    method: options.method ?? (body === undefined ? "GET" : "POST"),
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
  });
  outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString("utf8");
  const isJson = response.headers["content-type"]?.includes("json") === true && text !== "";
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text,
  };
}
