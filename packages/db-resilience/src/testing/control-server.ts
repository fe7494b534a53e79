import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { z } from "zod";
import type { FaultProxy } from "./fault-proxy.ts";

/** The HTTP face of a proxy's control. */
export interface ControlServer {
  readonly url: string;
  close(): Promise<void>;
}

const maxBodyBytes = 64 * 1024;
const upstreamBody = z.strictObject({ host: z.string().min(1), port: z.int().min(1).max(65_535) });
const halfOpenBody = z.strictObject({ side: z.enum(["client", "server"]) });

type Command = (proxy: FaultProxy, body: unknown) => void;

/** Method and path → what is done; every answer is the state after it. */
const commands: Readonly<Record<string, Command>> = {
  "GET /": () => {},
  "PATCH /faults": (proxy, body) => void proxy.set(body as Parameters<FaultProxy["set"]>[0]),
  "DELETE /faults": (proxy) => proxy.heal(),
  "POST /connections/reset": (proxy) => proxy.resetConnections(),
  "POST /connections/drop": (proxy) => proxy.dropConnections(),
  "POST /connections/half-open": (proxy, body) => proxy.leaveHalfOpen(halfOpenBody.parse(body).side),
  "PUT /upstream": (proxy, body) => proxy.setUpstream(upstreamBody.parse(body)),
};

/**
 * Serves the control API on 127.0.0.1: `GET /` (faults and stats), `PATCH /faults`, `DELETE /faults`,
 * `POST /connections/reset | drop | half-open`, `PUT /upstream`; bodies and answers are JSON, wrong bodies get 422.
 */
export async function startControlServer(proxy: FaultProxy, port: number): Promise<ControlServer> {
  const server = createServer((request, response) => {
    answer(proxy, request, response).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      send(response, error instanceof z.ZodError || error instanceof SyntaxError ? 422 : 500, {
        error: message,
      });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" && address ? address.port : port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(proxy: FaultProxy, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const command = commands[`${request.method} ${request.url}`];
  if (!command)
    return send(response, 404, { error: `No such command; there are: ${Object.keys(commands).join(", ")}` });
  const text = await read(request);
  command(proxy, text === "" ? {} : JSON.parse(text));
  send(response, 200, { faults: proxy.faults, stats: proxy.stats() });
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes) throw new SyntaxError(`The body is longer than ${maxBodyBytes} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
