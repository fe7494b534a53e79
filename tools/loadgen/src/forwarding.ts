import type { IncomingHttpHeaders, Server } from "node:http";
import type { AddressInfo } from "node:net";

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

/** The headers that a proxy sends on. */
export function forwardedHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && !HOP_BY_HOP.has(name)) kept[name] = String(value);
  }
  return kept;
}

/** Listens on a free port, prints the origin, and ends with the process that started this one. */
export function announce(server: Server): void {
  server.listen(0, "127.0.0.1", () => {
    process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
  });
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(0);
  }, 500).unref();
}
