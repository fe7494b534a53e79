import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startGatewayProcess } from "./gateway-process.ts";
import { hangingChecks, listRounds, startHangingSite } from "./hanging-lists.ts";
import { choosePinning } from "./pinning.ts";
import type { Scale } from "./plan.ts";
import type { ProgressBar } from "./progress-bar.ts";
import { checkTable, describeMachine, type Verdict } from "./report.ts";
import { textTable } from "./text-table.ts";
import { createTokenSigner } from "./token.ts";

/** Seconds of lists, and the deadline per upstream. */
const SIZES = {
  smoke: { seconds: 1, deadlineMs: 250 },
  ci: { seconds: 30, deadlineMs: 1_000 },
  full: { seconds: 300, deadlineMs: 1_000 },
} as const satisfies Readonly<Record<Scale, object>>;

/** Lists ten upstreams as one, of which two hang: how far behind the deadline per upstream the lists come. */
export async function runLists(options: {
  readonly scale: Scale;
  readonly seconds: number | undefined;
  readonly progress: ProgressBar;
  readonly folder: string;
}): Promise<{ readonly verdict: Verdict; readonly text: string }> {
  const { scale, progress, folder } = options;
  const { deadlineMs, seconds: usual } = SIZES[scale];
  const seconds = options.seconds ?? usual;
  const pinning = choosePinning();
  const signer = createTokenSigner();
  const site = await startHangingSite();
  try {
    const gateway = await startGatewayProcess({
      mcpServers: site.mcpServers,
      // Every list asks, and waits for whoever does not answer.
      bridge: { listTimeoutMs: deadlineMs, listFreshMs: 0, listFailureHoldMs: 0 },
      signer,
      prefix: pinning.measured,
      plugins: true,
    });
    try {
      const listed = await listRounds({
        url: gateway.plainUrl,
        token: signer.tokenOf("user-0"),
        site,
        deadlineMs,
        rounds: Math.max(2, Math.round((seconds * 1_000) / deadlineMs)),
        onProgress: (ratio) => progress.update("lists", ratio),
      });
      progress.clear();
      const checks = hangingChecks(listed);
      const verdict: Verdict = checks.every(({ ok }) => ok) ? "passed" : "failed";
      const text = [
        `lists (${scale}): ten upstreams, two of which hang, ${deadlineMs} ms for each: ${verdict.toUpperCase()}`,
        `${describeMachine()}; ${pinning.description}`,
        "",
        textTable(
          ["ms behind the deadline", "lists", "p50", "p95", "max"],
          [
            rowOf("lists of the gateway", listed.overMs),
            rowOf("the first after its start", [listed.firstMs]),
            rowOf("a bare timer", listed.timerMs),
          ],
        ),
        "",
        checkTable(checks),
        "",
      ].join("\n");
      mkdirSync(folder, { recursive: true });
      const json = { name: "lists", scale, deadlineMs, verdict, checks, ...listed };
      writeFileSync(join(folder, `lists-${scale}.json`), `${JSON.stringify(json, null, 2)}\n`);
      return { verdict, text };
    } finally {
      await gateway.stop();
    }
  } finally {
    await site.close();
  }
}

function rowOf(name: string, values: readonly number[]): string[] {
  const sorted = [...values].sort((left, right) => left - right);
  const at = (ratio: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * ratio))] ?? 0;
  return [name, String(values.length), ...[at(0.5), at(0.95), at(1)].map((ms) => ms.toFixed(1))];
}
