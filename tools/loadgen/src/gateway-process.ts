import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Spawned, spawnProcess } from "./spawned.ts";
import type { TokenSigner } from "./token.ts";

/** A gateway under load: everything on, its registry in a folder of its own. */
export interface GatewayProcess {
  readonly process: Spawned;
  readonly origin: string;
  /** The virtual server of the first upstream, where its names are unchanged. */
  readonly mcpUrl: string;
  /** The endpoint for plain JSON-RPC, and what it calls the upstream's tools. */
  readonly plainUrl: string;
  readonly plainPrefix: string;
  stop(): Promise<void>;
}

const UPSTREAM = "raw";
const REPOSITORY = join(import.meta.dirname, "..", "..", "..");
const START_MS = 20_000;

/** Rules as an operator has them, wide enough that the limiter checks every call and refuses none. */
const LIMITS = { by_user: "1000000/s", by_tool: { echo: "1000000/s" } };

const PLUGINS = [{ name: "rate_limiter", config: { rules: LIMITS } }, { name: "retry" }];

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilReady(origin: string, spawned: Spawned): Promise<void> {
  const end = performance.now() + START_MS;
  let last: unknown;
  while (performance.now() < end && spawned.isRunning()) {
    try {
      const answer = await fetch(`${origin}/ready`);
      if (answer.ok) return;
      last = answer.status;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the gateway did not become ready: ${String(last)}\n${spawned.output()}`);
}

interface UpstreamListing {
  readonly id: string;
  readonly name: string;
}

async function upstreamId(origin: string, token: string, name: string): Promise<string> {
  const answer = await fetch(`${origin}/gateways`, { headers: { authorization: `Bearer ${token}` } });
  const listing = (await answer.json()) as UpstreamListing[] | { items?: UpstreamListing[] };
  const items = Array.isArray(listing) ? listing : (listing.items ?? []);
  const found = items.find((item) => item.name === name);
  if (found === undefined)
    throw new Error(`GET /gateways does not name "${name}": ${JSON.stringify(listing)}`);
  return found.id;
}

/** Starts `apps/gateway` from source. `prefix` goes in front of node, to pin it. */
export async function startGatewayProcess(options: {
  /** The only upstream; or several by name. */
  readonly upstreamUrl?: string;
  readonly mcpServers?: Readonly<Record<string, { readonly url: string }>>;
  /** The section of that name in its configuration. */
  readonly bridge?: Readonly<Record<string, unknown>>;
  readonly signer: TokenSigner;
  readonly prefix: readonly string[];
  readonly plugins: boolean;
}): Promise<GatewayProcess> {
  const folder = mkdtempSync(join(tmpdir(), "gatewright-load-"));
  const port = await freePort();
  const only = { [UPSTREAM]: { url: options.upstreamUrl ?? "", trusted: true } };
  const mcpServers: Readonly<Record<string, object>> = options.mcpServers ?? only;
  const [first = UPSTREAM] = Object.keys(mcpServers);
  const config = {
    server: { port, dataDir: join(folder, "data") },
    auth: { publicKey: options.signer.publicKeyPem },
    plugins: options.plugins ? PLUGINS : PLUGINS.map(({ name }) => ({ name, mode: "disabled" })),
    mcpServers,
    ...(options.bridge && { bridge: options.bridge }),
    observability: { logLevel: "warn" },
  };
  const file = join(folder, "gateway.json");
  writeFileSync(file, JSON.stringify(config, null, 2));
  const gateway = spawnProcess(
    "gateway",
    [
      ...options.prefix,
      process.execPath,
      "--inspect-port=127.0.0.1:0",
      "--min-semi-space-size=16",
      "--max-semi-space-size=16",
      "--conditions=@gatewright/source",
      join(REPOSITORY, "apps", "gateway", "src", "main.ts"),
      "serve",
      "--config",
      file,
    ],
    { cwd: folder },
  );
  const stop = async (): Promise<void> => {
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const origin = `http://127.0.0.1:${port}`;
    await untilReady(origin, gateway);
    const id = await upstreamId(origin, options.signer.tokenOf("admin"), first);
    return {
      process: gateway,
      origin,
      mcpUrl: `${origin}/servers/${id}/mcp`,
      plainUrl: `${origin}/mcp/http`,
      plainPrefix: `${first}_`,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
