import { startRawServer } from "@gatewright/mcp-fixtures";
import { type Gateway, type RedisServer, startGateway, startRedis } from "@gatewright/testkit";

/** A private Redis, an upstream and the gateway processes in front of it. */
export interface Fleet {
  readonly redis: RedisServer;
  readonly gateways: readonly Gateway[];
  /** The exposed name of the upstream's tool. */
  readonly tool: string;
  close(): Promise<void>;
}

/** Calls per minute that the one user of the probe may make while the limiter is on. */
export const LIMIT = 30;

/** Starts everything, a few gateways at a time. */
export async function startFleet(
  count: number,
  atOnce: number,
  onProgress: (started: number) => void,
): Promise<Fleet> {
  const redis = await startRedis();
  const upstream = await startRawServer();
  const gateways: Gateway[] = [];
  const close = async () => {
    await Promise.all(gateways.map((gateway) => gateway.close()));
    await Promise.all([upstream.close(), redis.close()]);
  };
  // A refusal for want of Redis (503) can be told from one by a mode that is no longer in force (429).
  const limiter = { rules: { by_user: `${LIMIT}/m` }, failurePolicy: "closed" };
  const start = () =>
    startGateway({
      env: { REDIS_URL: redis.url, LOG_LEVEL: "warn" },
      config: {
        mcpServers: { echo: { url: upstream.url } },
        plugins: [{ name: "rate_limiter", mode: "enforce", config: limiter }],
      },
      readyTimeoutMs: 90_000,
    });
  let due = count;
  const startSome = async () => {
    while (due > 0) {
      due--;
      gateways.push(await start());
      onProgress(gateways.length);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(atOnce, count) }, startSome));
    return { redis, gateways, tool: await toolOf(gateways), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Asks every gateway, so that each has its catalogue before the first call counts. */
async function toolOf(gateways: readonly Gateway[]): Promise<string> {
  const names = await Promise.all(
    gateways.map(async ({ url }) => {
      const response = await fetch(`${url}/mcp/http`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }),
      });
      const answer = (await response.json()) as {
        readonly result?: { readonly tools: readonly { readonly name: string }[] };
      };
      return answer.result?.tools.find(({ name }) => name.endsWith("echo"))?.name;
    }),
  );
  const [name] = names;
  if (name === undefined || names.some((each) => each !== name))
    throw new Error("a gateway does not serve the upstream's tool");
  return name;
}
