import { join } from "node:path";
import { startFixtureProcess } from "@gatewright/mcp-fixtures";
import { startGatewayProcess } from "./gateway-process.ts";
import type { Front, McpTarget } from "./mcp-caller.ts";
import { choosePinning } from "./pinning.ts";
import type { CallShape } from "./plan.ts";
import { type Spawned, spawnProcess } from "./spawned.ts";
import { createTokenSigner } from "./token.ts";

/** One thing that can be put under load. */
export interface LoadTarget {
  readonly name: "direct" | "bare proxy" | "gateway";
  readonly pid: number;
  mcp(calls: CallShape): McpTarget;
}

/** Everything a run needs, each in a process of its own: upstream, bare proxy, gateway. */
export interface Site {
  readonly direct: LoadTarget;
  readonly bareProxy: LoadTarget;
  readonly gateway: LoadTarget;
  readonly gatewayProcess: Spawned;
  readonly pinning: string;
  close(): Promise<void>;
}

const userNames = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `user-${index}`);

/** Starts a site; `front` is how the generator speaks to the gateway, `plugins` whether limiter and retry are on. */
export async function startSite(front: Front, plugins = true): Promise<Site> {
  const pinning = choosePinning();
  const signer = createTokenSigner();
  const stops: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const stop of stops.splice(0).reverse()) await stop();
  };
  try {
    const era = front === "legacy" ? "legacy" : "modern";
    const upstream = await startFixtureProcess("raw", ["--era", era], pinning.upstream);
    stops.push(() => upstream.stop());
    const origin = new URL(upstream.url).origin;
    const proxy = spawnProcess("bare proxy", [
      ...pinning.measured,
      process.execPath,
      join(import.meta.dirname, "bare-proxy.ts"),
      origin,
    ]);
    stops.push(() => proxy.stop());
    const [proxyOrigin] = await proxy.waitFor(/http:\/\/127\.0\.0\.1:\d+/, 10_000);
    const gateway = await startGatewayProcess({
      upstreamUrl: upstream.url,
      signer,
      prefix: pinning.measured,
      plugins,
    });
    stops.push(gateway.stop);
    pinning.pinSelf();

    const past = (name: LoadTarget["name"], url: string, pid: number): LoadTarget => ({
      name,
      pid,
      mcp: ({ sessions, connections, tool, args }) => ({
        ...{ url, sessions, connections, tool, args },
        front: era,
        tokens: [],
      }),
    });
    return {
      direct: past("direct", upstream.url, upstream.pid),
      bareProxy: past("bare proxy", `${proxyOrigin}/mcp`, proxy.pid),
      gateway: {
        name: "gateway",
        pid: gateway.process.pid,
        mcp: ({ users, sessions, connections, tool, args }) => ({
          ...{ sessions, connections, args, front },
          url: front === "plain" ? gateway.plainUrl : gateway.mcpUrl,
          tool: front === "plain" ? `${gateway.plainPrefix}${tool}` : tool,
          tokens: userNames(users).map((user) => signer.tokenOf(user)),
        }),
      },
      gatewayProcess: gateway.process,
      pinning: pinning.description,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
