import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { forwardPath } from "../replicas/forward-head.ts";
import { replicaUrlOf } from "../wiring/replicas.ts";

/** A port of one worker's own, on which the others hand over requests for its sessions. */
export interface ForwardListener {
  readonly url: string;
  close(): void;
}

/**
 * Opens the port: on the loopback address where all replicas are workers of this host, else where the gateway listens.
 * It serves the internal route and nothing else.
 */
export async function openForwardListener(
  app: FastifyInstance,
  { server: place, redis }: Pick<GatewayConfig, "server" | "redis">,
): Promise<ForwardListener> {
  const server = createServer((request, response) => {
    if (request.url === forwardPath) app.server.emit("request", request, response);
    else response.writeHead(404, { "content-length": 0 }).end();
  });
  const host = redis.url === undefined ? loopback : place.host;
  // Exclusive: the primary would share the port among all workers.
  await listen(server, { host, port: 0, exclusive: true });
  const { port } = server.address() as AddressInfo;
  return {
    url: redis.url === undefined ? `http://${loopback}:${port}` : networkUrl(place, port),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

const loopback = "127.0.0.1";

/** The configured name of this host, at the port of this worker. */
function networkUrl(config: GatewayConfig["server"], port: number): string {
  if (config.replicaUrl === undefined) return replicaUrlOf({ ...config, advertiseUrl: undefined }, port);
  const { hostname } = new URL(config.replicaUrl);
  return `http://${hostname}:${port}`;
}

function listen(server: Server, options: { host: string; port: number; exclusive: boolean }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options, resolve);
  });
}
