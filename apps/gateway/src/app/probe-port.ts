import { once } from "node:events";
import { createServer } from "node:net";
import type { GatewayConfig } from "../config/gateway-config.ts";

/**
 * Listens for a moment, to hear now what the system would say later: a gateway that cannot have its port should end before
 * it has asked an upstream anything or led anything.
 *
 * @throws what the system says, such as an error with the code `EADDRINUSE`
 */
export async function probePort({
  host,
  port,
}: Pick<GatewayConfig["server"], "host" | "port">): Promise<void> {
  const probe = createServer();
  probe.listen({ host, port, exclusive: true });
  await once(probe, "listening");
  const closed = once(probe, "close");
  probe.close();
  await closed;
}
