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
  readonly name: "direct" | "bare proxy" | "least proxy" | "plain gateway" | "gateway";
  readonly pid: number;
  mcp(calls: CallShape): McpTarget;
}

/** Everything a run needs, each in a process of its own: upstream, bare proxy, gateway, where wanted a least proxy and a plain gateway. */
export interface Site {
  readonly direct: LoadTarget;
  readonly bareProxy: LoadTarget;
  /** The least that forwarding takes; where wanted. */
  readonly leastProxy: LoadTarget | undefined;
  /** The same work as the gateway's without any code of ours; where wanted. */
  readonly plainGateway: LoadTarget | undefined;
  readonly gateway: LoadTarget;
  readonly gatewayProcess: Spawned;
  readonly pinning: string;
  close(): Promise<void>;
}

async function startBeside(
  name: "bare proxy" | "least proxy" | "plain gateway",
  prefix: readonly string[],
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
) {
  const program = join(import.meta.dirname, `${name.replace(" ", "-")}.ts`);
  const spawned = spawnProcess(name, [...prefix, process.execPath, program, ...args], {
    env: { ...process.env, ...env },
  });
  try {
    const [origin] = await spawned.waitFor(/http:\/\/127\.0\.0\.1:\d+/, 10_000);
    return { process: spawned, origin };
  } catch (error) {
    await spawned.stop();
    throw error;
  }
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
  /** Whether a least proxy and a plain gateway run beside ours; default false. */
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
    const beside = async (...command: Parameters<typeof startBeside>) => {
      const started = await startBeside(...command);
      stops.push(() => started.process.stop());
      return started;
    };
    // The plain gateway bridges for clients without sessions only; for others it is called as its upstream is.
    const translates = bridged && front === "modern";
    const proxy = await beside("bare proxy", pinning.measured, [origin]);
    const leastProxy = floor ? await beside("least proxy", pinning.measured, [origin]) : undefined;
    const plainGateway = floor
      ? await beside("plain gateway", pinning.measured, [upstream.url, ...(translates ? ["bridged"] : [])], {
          PUBLIC_KEY: signer.publicKeyPem,
        })
      : undefined;
    const gateway = await startGatewayProcess({
      upstreamUrl: upstream.url,
      signer,
      prefix: pinning.measured,
      plugins,
    });
    stops.push(gateway.stop);
    pinning.pinSelf();

    const tokensOf = (users: number) => userNames(users).map((user) => signer.tokenOf(user));
    const past = (
      name: LoadTarget["name"],
      url: string,
      pid: number,
      { asUsers = false, speaking = era }: { readonly asUsers?: boolean; readonly speaking?: Front } = {},
    ): LoadTarget => ({
      name,
      pid,
      mcp: ({ users, sessions, connections, tool, args }) => ({
        ...{ url, sessions, connections, tool, args },
        front: speaking,
        tokens: asUsers ? tokensOf(users) : [],
      }),
    });
    return {
      direct: past("direct", upstream.url, upstream.pid),
      bareProxy: past("bare proxy", `${proxy.origin}/mcp`, proxy.process.pid),
      leastProxy: leastProxy && past("least proxy", `${leastProxy.origin}/mcp`, leastProxy.process.pid),
      plainGateway:
        plainGateway &&
        past("plain gateway", `${plainGateway.origin}/mcp`, plainGateway.process.pid, {
          asUsers: true,
          speaking: translates ? front : era,
        }),
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
