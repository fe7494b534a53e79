import { lookup } from "node:dns/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { describeListenFailure } from "../app/listen-failure.ts";
import { probePort } from "../app/probe-port.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { lockPlace } from "./place-lock.ts";

/**
 * Whether each worker listens on the port by itself and the kernel chooses between them (SO_REUSEPORT). Where that cannot
 * be, the primary takes all connections and hands them on, and one that it is handing to a worker which has just died hangs
 * until its client gives up: node:cluster never hears that it did not arrive.
 */
export function sharesPort({ port }: Pick<GatewayConfig["server"], "port">): boolean {
  return process.platform === "linux" && port !== 0;
}

/** How long the port may still belong to workers whose primary has died: they end by themselves soon after. */
const orphansMs = 3_000;
const pauseMs = 100;

/**
 * Takes the port for the workers of this primary, until the returned function is called or the process ends. Workers
 * that share a port would share it with those of another primary too, and the kernel would refuse neither. So a primary
 * locks the place; that the lock is free while the port is not may be because of orphans of a primary that was killed,
 * which are waited for.
 *
 * @throws {GatewayError} `conflict` when the port is in use or cannot be had
 */
export async function holdPort(place: Pick<GatewayConfig["server"], "host" | "port">): Promise<() => void> {
  const { host, port } = place;
  const { address } = await lookup(host).catch(() => ({ address: host }));
  const untilMs = performance.now() + orphansMs;
  let letGo: (() => void) | undefined;
  try {
    letGo = await lockPlace(address, port, untilMs);
    await portFree(place, untilMs);
    return letGo;
  } catch (cause) {
    letGo?.();
    throw describeListenFailure(cause, place);
  }
}

async function portFree(
  place: Pick<GatewayConfig["server"], "host" | "port">,
  untilMs: number,
): Promise<void> {
  for (;;) {
    try {
      return await probePort(place);
    } catch (error) {
      const inUse = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (!inUse || performance.now() > untilMs) throw error;
    }
    await sleep(pauseMs);
  }
}
