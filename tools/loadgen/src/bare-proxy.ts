import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Pool } from "undici";

/**
 * The least that any gateway on node has to do: take a request, send it on, send the answer back. No parsing, no
 * authentication, no session. What a gateway costs is told as a multiple of this.
 *
 * Usage: `node bare-proxy.ts UPSTREAM_ORIGIN`; prints its own origin.
 */
const upstream = process.argv[2];
if (upstream === undefined) throw new Error("usage: bare-proxy.ts UPSTREAM_ORIGIN");

const pool = new Pool(upstream, { connections: 64, headersTimeout: 0, bodyTimeout: 0 });

/** Headers of one connection only (RFC 9110, 7.6.1), and `host`, which is the upstream's own. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "host",
  "expect",
  "te",
  "upgrade",
]);

const forwarded = (headers: IncomingMessage["headers"]): Record<string, string> => {
  const kept: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && !HOP_BY_HOP.has(name)) kept[name] = String(value);
  }
  return kept;
};

function forward(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  pool.dispatch(
    {
      path: request.url ?? "/",
      method: request.method as "POST",
      headers: forwarded(request.headers),
      body: body.length > 0 ? body : null,
    },
    {
      onRequestStart: () => undefined,
      onResponseStart: (_controller, status, headers) => {
        response.writeHead(status, forwarded(headers as IncomingMessage["headers"]));
      },
      onResponseData: (_controller, chunk) => {
        response.write(chunk);
      },
      onResponseEnd: () => {
        response.end();
      },
      onResponseError: () => {
        if (response.headersSent) response.destroy();
        else response.writeHead(502).end();
      },
    },
  );
}

const server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const [only] = chunks;
    forward(request, response, chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks));
  });
});
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});

const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(0);
}, 500).unref();
