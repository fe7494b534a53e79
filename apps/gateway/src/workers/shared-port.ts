import { createServer } from "node:net";
import { describeListenFailure } from "../app/listen-failure.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";

/**
 * Whether each worker listens on the port by itself and the kernel chooses between them (SO_REUSEPORT). Where that cannot
 * be, the primary takes all connections and hands them on, and one that it is handing to a worker which has just died hangs
 * until its client gives up: node:cluster never hears that it did not arrive.
 */
export function sharesPort({ port }: Pick<GatewayConfig["server"], "port">): boolean {
  return process.platform === "linux" && port !== 0;
}

/**
 * Makes sure, before workers share it, that nobody else has the port: another gateway that shares its own would not
 * be refused.
 *
 * @throws {GatewayError} `conflict` when the port is in use or cannot be had
 */
export async function assertPortFree(place: GatewayConfig["server"]): Promise<void> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once("error", reject);
      probe.listen({ host: place.host, port: place.port, exclusive: true }, resolve);
    });
  } catch (cause) {
    throw describeListenFailure(cause, place);
  }
  await new Promise((resolve) => probe.close(resolve));
}
