import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool } from "undici";
import { announce, forwardedHeaders } from "./forwarding.ts";

/**
 * The least that any gateway on node has to do: take a whole request, send it on, hand the answer's pieces back as they
 * come. No parsing, no authentication, no session; undici's handlers instead of its promises and streams. What a gateway
 * costs at the very least.
 *
 * Usage: `node least-proxy.ts UPSTREAM_ORIGIN`; prints its own origin.
 */
const upstream = process.argv[2];
if (upstream === undefined) throw new Error("usage: least-proxy.ts UPSTREAM_ORIGIN");

const pool = new Pool(upstream, { connections: 64, headersTimeout: 0, bodyTimeout: 0 });

function forward(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  pool.dispatch(
    {
      path: request.url ?? "/",
      method: request.method as "POST",
      headers: forwardedHeaders(request.headers),
      body: body.length > 0 ? body : null,
    },
    {
      onRequestStart: () => undefined,
      onResponseStart: (_controller, status, headers) => {
        response.writeHead(status, forwardedHeaders(headers as IncomingMessage["headers"]));
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
announce(server);
