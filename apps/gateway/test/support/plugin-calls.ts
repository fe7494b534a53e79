/** An answer over plain HTTP. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
  readonly body: any;
}

/** Calls the tool `raw_echo` on a gateway. */
export function callTool(url: string, id: string | number): Promise<HttpAnswer> {
  const params = { name: "raw_echo", arguments: { text: "x" } };
  return send("POST", `${url}/mcp/http`, { jsonrpc: "2.0", id, method: "tools/call", params });
}

/** Switches the rate limiter. */
export function putMode(url: string, body: object): Promise<HttpAnswer> {
  return send("PUT", `${url}/admin/plugins/rate_limiter/mode`, body);
}

/** Which mode a gateway follows. */
export async function modeAt(url: string): Promise<{ mode: string; layer: string; rev: number }> {
  return (await send("GET", `${url}/admin/plugins/rate_limiter/mode`)).body;
}

async function send(method: string, url: string, body?: unknown): Promise<HttpAnswer> {
  const response = await fetch(url, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}
