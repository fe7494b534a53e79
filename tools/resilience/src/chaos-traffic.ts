import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { ChaosFaults } from "./chaos-faults.ts";
import type { WritersData, WritersNews } from "./chaos-writers.ts";
import { Ledger } from "./ledger.ts";
import type { Stage } from "./stage.ts";
import { keepEvidence } from "./write-evidence.ts";

/** Writes under chaos, and calls that must go on meanwhile. */
export interface ChaosTraffic {
  readonly ledger: Ledger;
  /** Writes that each replica has acknowledged, by its name. */
  readonly acknowledged: ReadonlyMap<string, number>;
  readonly calls: { made: number; failed: number };
  readonly problems: string[];
  /** Writes that were due and not begun, because too many were under way. */
  readonly heldBack: number;
  /** Ends it, and waits until every keyed write has its answer. */
  stop(): Promise<void>;
}

const records = 24;
const callEveryMs = 200;

/**
 * Makes the records and begins to change them, `perSecond` times a second: in a thread of its own, because the lines to
 * the servers run in this one, and a line that waits for its turn is a fault that nobody has ordered.
 */
export async function startChaosTraffic(
  stage: Stage,
  faults: Pick<ChaosFaults, "stopped">,
  perSecond: number,
): Promise<ChaosTraffic> {
  const ledger = new Ledger();
  const problems: string[] = [];
  const acknowledged = new Map(stage.replicas.map(({ name }) => [name, 0]));
  const ids: string[] = [];
  for (let index = 0; index < records; index++) {
    const body = { name: `record-${index}`, gatewayIds: [stage.upstreamId], names: "prefixed" };
    ids.push((await stage.replicas[0]?.rest("/servers", { body }))?.body.id);
  }

  await keepEvidence(stage.primary);

  const workerData: WritersData = {
    replicas: stage.replicas.map(({ name, gateway }) => ({ name, url: gateway.url })),
    ids,
    perSecond,
    secrets: stage.secrets(),
  };
  let heldBack = 0;
  const writers = new Worker(new URL("./chaos-writers.ts", import.meta.url), { workerData });
  const ended = new Promise<void>((resolve, reject) => {
    writers.once("error", reject);
    writers.on("message", (news: WritersNews) => {
      if (news.kind === "acknowledged") {
        acknowledged.set(news.replica, (acknowledged.get(news.replica) ?? 0) + 1);
      } else if (news.kind === "fate") ledger.note(news.write, news.fate);
      else if (news.kind === "problem") problems.push(news.text);
      else if (news.kind === "held back") heldBack++;
      else resolve();
    });
  });
  ended.catch((error: unknown) => problems.push(`the writers have failed: ${error}`));

  const calls = { made: 0, failed: 0 };
  let running = true;
  const calling = stage.replicas.map(async (each) => {
    while (running) {
      if (!faults.stopped.has(each)) {
        calls.made++;
        const served = await each.callTool(calls.made).catch(() => false);
        if (!served && !faults.stopped.has(each)) calls.failed++;
      }
      await new Promise((resolve) => setTimeout(resolve, callEveryMs));
    }
  });
  return {
    ledger,
    acknowledged,
    calls,
    problems,
    get heldBack() {
      return heldBack;
    },
    async stop() {
      // A thread with nothing left to do ends by itself, perhaps before it is told to.
      const exited = once(writers, "exit").catch(() => undefined);
      writers.postMessage("stop");
      await ended.catch(() => undefined);
      await writers.terminate();
      await exited;
      running = false;
      await Promise.all(calling);
    },
  };
}
