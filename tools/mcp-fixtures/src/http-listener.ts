import { createServer, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ListenOptions } from "./fixture.ts";

/** A listening node:http server whose `close` really ends it. */
export interface HttpListener {
  readonly port: number;
  /** `http://host:port`, without a path. */
  readonly origin: string;
  connections(): { open: number; accepted: number };
  /** Refuses connections for so many milliseconds and lets go of idle ones; what is under way is answered. */
  refuseFor(ms: number): Promise<void>;
  close(): Promise<void>;
}

const sendReport = (response: ServerResponse, report: unknown): void => {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(report));
};

/** Idle client connections stay open this long: a test's pause must not look like a lost connection. */
const KEEP_ALIVE_MS = 65_000;

/** A port that was let go of may for a moment be that of somebody's connection to elsewhere. */
const LISTEN_ATTEMPTS = 100;

/** What a server serves: MCP at `/mcp`, and what it has counted at `GET /stats` as JSON. */
export interface Routes {
  readonly mcp: RequestListener;
  readonly report: () => unknown;
}

export async function listenHttp(routes: Routes, options: ListenOptions = {}): Promise<HttpListener> {
  const host = options.host ?? "127.0.0.1";
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    if (request.url === "/mcp") routes.mcp(request, response);
    else if (request.url === "/stats") sendReport(response, routes.report());
    else response.writeHead(404).end();
  });
  let open = 0;
  let accepted = 0;
  let allGone: (() => void) | undefined;
  server.on("connection", (socket) => {
    open += 1;
    accepted += 1;
    socket.once("close", () => {
      open -= 1;
      if (open === 0) allGone?.();
    });
  });

  const listenOnce = (port: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => {
        server.off("error", reject);
        resolve();
      });
    });
  const listen = async (port: number): Promise<void> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await listenOnce(port);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || attempt === LISTEN_ATTEMPTS)
          throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  await listen(options.port ?? 0);

  const { port } = server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  return {
    port,
    origin: `http://${host.includes(":") ? `[${host}]` : host}:${port}`,
    connections: () => ({ open, accepted }),
    async refuseFor(ms) {
      if (!server.listening) return;
      server.close();
      await new Promise((resolve) => setTimeout(resolve, ms));
      if (closing === undefined) await listen(port);
    },
    close: () => {
      closing ??= new Promise((resolve) => {
        server.close(() => {
          if (open === 0) resolve();
          else allGone = resolve;
        });
        server.closeAllConnections();
      });
      return closing;
    },
  };
}
