import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A load balancer for HTTP: every request goes to the next server, without stickiness. */
export interface Balancer {
  readonly url: string;
  /** Requests that each server was sent, by its origin. */
  readonly sent: Readonly<Record<string, number>>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts one in this process. A server that refuses the connection is passed over for the next, as balancers do that
 * probe their servers; a request that may have arrived is never sent again.
 */
export async function startBalancer(origins: readonly string[]): Promise<Balancer> {
  const sent: Record<string, number> = Object.fromEntries(origins.map((origin) => [origin, 0]));
  let turn = 0;
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("error", () => response.destroy());
    incoming.on("end", () => {
      const first = turn++;
      pass(
        incoming,
        response,
        Buffer.concat(chunks),
        origins.map((_, step) => origins[(first + step) % origins.length] ?? ""),
      );
    });
  });

  function pass(
    incoming: IncomingMessage,
    response: ServerResponse,
    body: Buffer,
    left: readonly string[],
  ): void {
    const [origin, ...others] = left;
    if (origin === undefined) {
      response.writeHead(502).end();
      return;
    }
    const outgoing = request(`${origin}${incoming.url}`, {
      method: incoming.method,
      headers: incoming.headers,
      agent: false,
    });
    const onClose = () => outgoing.destroy();
    response.once("close", onClose);
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      response.off("close", onClose);
      if (error.code === "ECONNREFUSED") pass(incoming, response, body, others);
      else if (response.headersSent) response.destroy();
      else response.writeHead(502, { "x-balancer": "lost" }).end();
    });
    outgoing.on("response", (answer) => {
      sent[origin] = (sent[origin] ?? 0) + 1;
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.on("error", () => response.destroy());
      answer.pipe(response);
    });
    outgoing.end(body);
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent,
    close,
    [Symbol.asyncDispose]: close,
  };
}
