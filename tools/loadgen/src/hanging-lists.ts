import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { startRawServer } from "@gatewright/mcp-fixtures";
import type { Check } from "./plan.ts";

/** Upstreams of which some never answer. */
export interface HangingSite {
  /** By name, as the gateway's configuration wants them. */
  readonly mcpServers: Readonly<Record<string, { readonly url: string }>>;
  readonly healthy: number;
  readonly hanging: readonly string[];
  close(): Promise<void>;
}

/**
 * Starts ten upstreams. Eight answer; one shakes hands and never answers a list, one takes connections and never says
 * anything.
 */
export async function startHangingSite(): Promise<HangingSite> {
  const healthy = await Promise.all(Array.from({ length: 8 }, () => startRawServer()));
  const mute = createHttpServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { id, method } = JSON.parse(text || "{}") as { id?: number; method?: string };
    if (method === "tools/list") return;
    if (id === undefined) return response.writeHead(request.method === "POST" ? 202 : 405).end();
    const capabilities = { tools: {} };
    const serverInfo = { name: "mute", version: "1" };
    const result = { protocolVersion: "2025-11-25", capabilities, serverInfo };
    const outcome =
      method === "initialize" ? { result } : { error: { code: -32601, message: "not known here" } };
    response.setHeader("content-type", "application/json");
    return response.end(JSON.stringify({ jsonrpc: "2.0", id, ...outcome }));
  });
  const silent = createServer(() => undefined);
  const hanging = { mute, silent };
  const urls = await Promise.all(
    Object.entries(hanging).map(async ([name, server]) => [name, await listen(server)]),
  );
  return {
    mcpServers: Object.fromEntries([
      ...healthy.map(({ url }, index) => [`up${index}`, { url }]),
      ...urls.map(([name, url]) => [name, { url }]),
    ]),
    healthy: healthy.length,
    hanging: Object.keys(hanging),
    async close() {
      mute.closeAllConnections();
      mute.close();
      silent.close();
      await Promise.all(healthy.map((server) => server.close()));
    },
  };
}

async function listen(server: Server): Promise<string> {
  server.unref();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
}

/** How late lists were, and what was in them. */
export interface ListedRounds {
  /** Milliseconds behind the deadline of the very first list, which a gateway that has just started makes. */
  readonly firstMs: number;
  /** The same, per list after it. */
  readonly overMs: readonly number[];
  /** The same of a bare timer of that length in this process: what no code of ours adds to. */
  readonly timerMs: readonly number[];
  /** Lists that lacked an item of an upstream that answers, or did not name those that hang. */
  readonly wrong: number;
}

/** Lists again and again; every list has to wait for the upstreams that hang. */
export async function listRounds(options: {
  readonly url: string;
  readonly token: string;
  readonly site: HangingSite;
  readonly deadlineMs: number;
  readonly rounds: number;
  readonly onProgress: (ratio: number) => void;
}): Promise<ListedRounds> {
  const { url, token, site, deadlineMs, rounds, onProgress } = options;
  const overMs: number[] = [];
  const timerMs: number[] = [];
  let wrong = 0;
  for (let round = 0; round <= rounds; round += 1) {
    const startedAt = performance.now();
    const timer = new Promise<void>((resolve) => {
      setTimeout(() => {
        timerMs.push(performance.now() - startedAt - deadlineMs);
        resolve();
      }, deadlineMs);
    });
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ jsonrpc: "2.0", id: round, method: "tools/list" }),
    });
    const text = await answer.text();
    overMs.push(performance.now() - startedAt - deadlineMs);
    if (!isWhole(text, site)) wrong += 1;
    await timer;
    onProgress(round / rounds);
  }
  const [firstMs = Number.NaN, ...others] = overMs;
  return { firstMs, overMs: others, timerMs: timerMs.slice(1), wrong };
}

function isWhole(text: string, { healthy, hanging }: HangingSite): boolean {
  const { result } = JSON.parse(text) as {
    result?: { tools: readonly { name: string }[]; _meta?: Readonly<Record<string, object>> };
  };
  const shown = new Set(result?.tools.map(({ name }) => name.split("_")[0]));
  const flagged = Object.keys(result?._meta?.["io.gatewright/upstreams"] ?? {});
  return shown.size === healthy && hanging.every((name) => flagged.includes(name));
}

/** What must hold. */
export function hangingChecks({ overMs, wrong }: ListedRounds): readonly Check[] {
  if (overMs.length === 0) throw new RangeError("nothing was listed");
  const waited = overMs.filter((ms) => ms >= 0).length;
  const worst = Math.max(...overMs);
  return [
    { what: "lists that lack something", measured: String(wrong), bound: "0", ok: wrong === 0 },
    {
      what: "lists that waited for the deadline",
      measured: `${waited} of ${overMs.length}`,
      bound: "all",
      ok: waited === overMs.length,
    },
    {
      what: "worst list behind the deadline",
      measured: `${worst.toFixed(1)} ms`,
      bound: "≤ 50 ms",
      ok: worst <= 50,
    },
  ];
}
