import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

/** A load balancer without stickiness: every request goes to the next backend. */
export interface Balancer {
  readonly url: string;
  /** How many requests each backend got. */
  counts(): readonly number[];
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts one. */
export async function startBalancer(backends: readonly string[]): Promise<Balancer> {
  const counts = backends.map(() => 0);
  let next = 0;
  const server = createServer((incoming, outgoing) => {
    const index = next++ % backends.length;
    counts[index] = (counts[index] ?? 0) + 1;
    const onward = request(new URL(incoming.url ?? "/", backends[index]), {
      method: incoming.method ?? "GET",
      headers: incoming.headers,
      agent: false,
    });
    onward.on("response", (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
      pipeline(answer, outgoing, () => undefined);
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts: () => counts,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
