import { type ConvergenceReport, createPluginPipeline, type Mode } from "@gatewright/plugin-framework";
import { createRedisBus } from "@gatewright/plugin-framework/redis";
import { rateLimiterPlugin } from "@gatewright/rate-limiter/plugin";
import { createRedisStore } from "@gatewright/rate-limiter/redis";
import type { Fleet } from "./fleet.ts";

/** The one who presses the button. */
export interface Switcher {
  setMode(mode: Mode, timeoutMs: number): Promise<ConvergenceReport>;
  close(): Promise<void>;
}

const PLUGIN = "rate_limiter";

/** Switches by the admin route of the last gateway (the first may be frozen). */
export function httpSwitcher({ gateways }: Fleet): Switcher {
  const url = gateways.at(-1)?.url;
  return {
    async setMode(mode, timeoutMs) {
      const response = await fetch(`${url}/admin/plugins/${PLUGIN}/mode`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ mode, waitFor: "all", timeoutMs: Math.ceil(timeoutMs) }),
      });
      if (!response.ok)
        throw new Error(`the switch was refused: ${response.status} ${await response.text()}`);
      return (await response.json()) as ConvergenceReport;
    },
    close: async () => undefined,
  };
}

/** Switches as a member of the bus: the probe is then one of those who acknowledge. */
export async function busSwitcher({ redis }: Fleet): Promise<Switcher> {
  const client = redis.client({ enableOfflineQueue: false, commandTimeout: 1_000, lazyConnect: true });
  const subscriber = redis.client({ enableOfflineQueue: false, lazyConnect: true });
  await client.connect();
  const use = rateLimiterPlugin({ store: createRedisStore({ client }) });
  const bus = createRedisBus({ client, subscriber });
  const pipeline = await createPluginPipeline({ plugins: [{ use }] }, { bus, replica: "probe" });
  return {
    setMode: (mode, timeoutMs) =>
      pipeline.setMode(PLUGIN, mode, { waitFor: "all", timeoutMs, setBy: "probe" }),
    async close() {
      await pipeline.close();
      await bus.close();
      client.disconnect();
      subscriber.disconnect();
    },
  };
}
