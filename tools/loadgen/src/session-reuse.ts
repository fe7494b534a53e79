import { createMcpCaller, type Front } from "./mcp-caller.ts";
import type { Scale } from "./plan.ts";
import type { ProgressBar } from "./progress-bar.ts";
import type { Verdict } from "./report.ts";
import type { Site } from "./site.ts";
import { textTable } from "./text-table.ts";

/** Share of calls that have to find a session open. */
const BAR = 0.99;
const CLIENTS = 100;
const IN_FLIGHT = 50;
const CALLS = { smoke: 10_000, ci: 10_000, full: 100_000 } as const satisfies Readonly<Record<Scale, number>>;

/** What the gateway's pool counted. */
interface Leases {
  readonly hits: number;
  readonly misses: number;
}

/** What the command came to. */
export interface SessionReuse {
  readonly verdict: Verdict;
  readonly hitRate: number;
  readonly text: string;
}

/**
 * Makes calls as 100 users with a session each, and reads from `/admin/sessions` how many of them found an upstream
 * session open. Handshakes count as well: they open the sessions.
 */
export async function runSessionReuse(options: {
  readonly site: Site;
  readonly front: Front;
  readonly scale: Scale;
  readonly progress: ProgressBar;
}): Promise<SessionReuse> {
  const { site, front, scale, progress } = options;
  const target = site.gateway.mcp({
    tool: "echo",
    args: { text: "a small call" },
    users: CLIENTS,
    sessions: CLIENTS,
    connections: IN_FLIGHT,
  });
  const leases = async (): Promise<Leases> => {
    const headers = { authorization: `Bearer ${target.tokens[0]}` };
    const answer = await fetch(new URL("/admin/sessions", target.url), { headers });
    return ((await answer.json()) as { readonly upstreams: Leases }).upstreams;
  };
  const before = await leases();
  const caller = await createMcpCaller(target);
  const calls = CALLS[scale];
  let next = 0;
  let answered = 0;
  const work = async () => {
    for (let index = next++; index < calls; index = next++) {
      const outcome = await new Promise((resolve) => caller.call(index, resolve));
      if (outcome === "ok") answered++;
      progress.update("session reuse", index / calls);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  progress.clear();
  await caller.close();
  const after = await leases();
  const hits = after.hits - before.hits;
  const misses = after.misses - before.misses;
  const hitRate = hits / (hits + misses);
  const ok = hitRate >= BAR && answered === calls;
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  const rows = [
    ["calls answered", `${answered} of ${calls}`, "all", answered === calls ? "yes" : "NO"],
    ["found an upstream session open", percent(hitRate), `≥ ${percent(BAR)}`, hitRate >= BAR ? "yes" : "NO"],
    ["upstream sessions opened", String(misses), "told only", "yes"],
  ];
  const title = `session reuse: ${calls} calls of ${CLIENTS} clients, front ${front}`;
  const text = `${title}\n\n${textTable(["what", "measured", "bound", "kept"], rows)}\n`;
  return { verdict: ok ? "passed" : "failed", hitRate, text };
}
