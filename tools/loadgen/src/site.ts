import { join } from "node:path";
import { startFixtureProcess } from "@gatewright/mcp-fixtures";
import { startGatewayProcess } from "./gateway-process.ts";
import type { Front, McpTarget } from "./mcp-caller.ts";
import { choosePinning } from "./pinning.ts";
import type { CallShape } from "./plan.ts";
import { type Spawned, spawnProcess } from "./spawned.ts";
import { createTokenSigner, type TokenSigner } from "./token.ts";

/** One thing that can be put under load. */
export interface LoadTarget {
  readonly name: "direct" | "bare proxy" | "plain gateway" | "gateway";
  readonly pid: number;
  mcp(calls: CallShape): McpTarget;
}

/** Everything a run needs, each in a process of its own: upstream, bare proxy, gateway, where wanted a plain gateway. */
export interface Site {
  readonly direct: LoadTarget;
  readonly bareProxy: LoadTarget;
  /** The same work as the gateway's without any code of ours. */
  readonly plainGateway: LoadTarget | undefined;
  readonly gateway: LoadTarget;
  readonly gatewayProcess: Spawned;
  readonly pinning: string;
  close(): Promise<void>;
}

async function startPlainGateway(upstreamUrl: string, signer: TokenSigner, prefix: readonly string[]) {
  const spawned = spawnProcess(
    "plain gateway",
    [...prefix, process.execPath, join(import.meta.dirname, "plain-gateway.ts"), upstreamUrl],
    { env: { ...process.env, PUBLIC_KEY: signer.publicKeyPem } },
  );
  const [origin] = await spawned.waitFor(/http:\/\/127\.0\.0\.1:\d+/, 10_000);
  return { process: spawned, origin };
}

const userNames = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `user-${index}`);

/** What a site is made of. */
export interface SiteOptions {
  /** How the generator speaks to the gateway. */
  readonly front: Front;
  /** Whether limiter and retry are on; default true. */
  readonly plugins?: boolean;
  /** Whether the upstream speaks a revision of the other kind, with or without sessions; default false. */
  readonly bridged?: boolean;
  /** Whether a plain gateway runs beside ours; default false. */
  readonly floor?: boolean;
}

/** Starts a site. */
export async function startSite({
  front,
  plugins = true,
  bridged = false,
  floor = false,
}: SiteOptions): Promise<Site> {
  const pinning = choosePinning();
  const signer = createTokenSigner();
  const stops: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const stop of stops.splice(0).reverse()) await stop();
  };
  try {
    const era = (front === "legacy") === bridged ? "modern" : "legacy";
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
    const plainGateway = floor ? await startPlainGateway(upstream.url, signer, pinning.measured) : undefined;
    if (plainGateway !== undefined) stops.push(() => plainGateway.process.stop());
    const gateway = await startGatewayProcess({
      upstreamUrl: upstream.url,
      signer,
      prefix: pinning.measured,
      plugins,
    });
    stops.push(gateway.stop);
    pinning.pinSelf();

    const tokensOf = (users: number) => userNames(users).map((user) => signer.tokenOf(user));
    const past = (name: LoadTarget["name"], url: string, pid: number, asUsers = false): LoadTarget => ({
      name,
      pid,
      mcp: ({ users, sessions, connections, tool, args }) => ({
        ...{ url, sessions, connections, tool, args },
        front: era,
        tokens: asUsers ? tokensOf(users) : [],
      }),
    });
    return {
      direct: past("direct", upstream.url, upstream.pid),
      bareProxy: past("bare proxy", `${proxyOrigin}/mcp`, proxy.pid),
      plainGateway:
        plainGateway && past("plain gateway", `${plainGateway.origin}/mcp`, plainGateway.process.pid, true),
      gateway: {
        name: "gateway",
        pid: gateway.process.pid,
        mcp: ({ users, sessions, connections, tool, args }) => ({
          ...{ sessions, connections, args, front },
          url: front === "plain" ? gateway.plainUrl : gateway.mcpUrl,
          tool: front === "plain" ? `${gateway.plainPrefix}${tool}` : tool,
          tokens: tokensOf(users),
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
