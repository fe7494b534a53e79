import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { pipeline } from "node:stream";
import { Pool } from "undici";
import { announce, forwardedHeaders } from "./forwarding.ts";

/**
 * A bare forwarding proxy, as the documentation of node and undici leads one to write it: both bodies are streamed, so
 * that their length does not matter. No parsing, no authentication, no session. What a gateway costs is told as a
 * multiple of this.
 *
 * Usage: `node bare-proxy.ts UPSTREAM_ORIGIN`; prints its own origin.
 */
const upstream = process.argv[2];
if (upstream === undefined) throw new Error("usage: bare-proxy.ts UPSTREAM_ORIGIN");

const pool = new Pool(upstream, { connections: 64, headersTimeout: 0, bodyTimeout: 0 });

async function forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = await pool.request({
    path: request.url ?? "/",
    method: request.method as "POST",
    headers: forwardedHeaders(request.headers),
    body: request,
  });
  response.writeHead(answer.statusCode, forwardedHeaders(answer.headers));
  pipeline(answer.body, response, () => undefined);
}

announce(
  createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
    forward(request, response).catch(() => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
    });
  }),
);
