import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A server of a test that listens on 127.0.0.1. */
export interface OnLoopback {
  /** `http://host:port`, without a path. */
  readonly origin: string;
  /** Ends it with the connections that are open. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Lets it listen, on a free port unless one is named. */
export async function listenOnLoopback(server: Server, port = 0): Promise<OnLoopback> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    server.close();
    server.closeAllConnections();
  };
  const { port: own } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${own}`, close, [Symbol.asyncDispose]: close };
}
