import type { ChaosFaults } from "./chaos-faults.ts";
import { Ledger } from "./ledger.ts";
import type { Answer } from "./one-request.ts";
import type { Replica } from "./replica.ts";
import type { Stage } from "./stage.ts";

/** Writes under chaos, and calls that must go on meanwhile. */
export interface ChaosTraffic {
  readonly ledger: Ledger;
  /** Writes that each replica has acknowledged. */
  readonly acknowledged: ReadonlyMap<Replica, number>;
  readonly calls: { made: number; failed: number };
  readonly problems: string[];
  /** Ends it, and waits until every keyed write has its answer. */
  stop(): Promise<void>;
}

/** Half of the records are written under keys, and asked for until they are done; the others once. */
const records = 24;
const keyedDeadlineMs = 60_000;

/** Makes the records and begins to change them, `perSecond` times a second. */
export async function startChaosTraffic(
  stage: Stage,
  faults: Pick<ChaosFaults, "stopped">,
  perSecond: number,
): Promise<ChaosTraffic> {
  const ledger = new Ledger();
  const problems: string[] = [];
  const acknowledged = new Map<Replica, number>(stage.replicas.map((replica) => [replica, 0]));
  const replica = (index: number) => stage.replicas[index % stage.replicas.length] as Replica;
  const ids: string[] = [];
  for (let index = 0; index < records; index++) {
    const body = { name: `record-${index}`, gatewayIds: [stage.upstreamId], names: "prefixed" };
    ids.push((await replica(0).rest("/servers", { body })).body.id);
  }
  let running = true;

  const change = async (index: number, to: Replica, headers = {}): Promise<Answer | undefined> => {
    const id = ids[index % records];
    const body = { description: `write ${index}` };
    const options = { method: "PATCH", body, headers, timeoutMs: 5_000 };
    const answer = await to.rest(`/servers/${id}`, options).catch(() => undefined);
    if (answer?.status === 200) acknowledged.set(to, (acknowledged.get(to) ?? 0) + 1);
    else if (answer !== undefined && answer.status !== 503) {
      problems.push(`write ${index}: ${answer.status} ${answer.text}`);
    }
    return answer;
  };
  const once = async (index: number): Promise<void> => {
    const answer = await change(index, replica(index));
    const id = ids[index % records] ?? "";
    if (answer?.status === 200) ledger.note(id, "acknowledged");
    else if (answer === undefined || answer.body?.error?.code === "outcome_unknown")
      ledger.note(id, "unknown");
    else ledger.note(id, "refused");
  };
  /** Asks, by turns of all replicas, until it is done: however often that is, it is done once. */
  const untilDone = async (index: number): Promise<void> => {
    const headers = { "idempotency-key": `chaos-${index}` };
    const deadlineMs = performance.now() + keyedDeadlineMs;
    for (let attempt = 0; performance.now() < deadlineMs; attempt++) {
      const answer = await change(index, replica(index + attempt), headers);
      if (answer?.status === 200) return ledger.note(ids[index % records] ?? "", "acknowledged");
      // As the answer says, and later each time: callers that all come back at once would keep down what comes up.
      const afterMs = 1_000 * Math.max(1, Number(answer?.headers["retry-after"] ?? 1));
      const pauseMs = afterMs * Math.min(4, 1 + attempt / 2) * (1 + Math.random() / 2);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    problems.push(`write ${index} was never acknowledged`);
    ledger.note(ids[index % records] ?? "", "unknown");
  };

  const pending = new Set<Promise<void>>();
  const startedMs = performance.now();
  let next = 0;
  const timer = setInterval(() => {
    const due = ((performance.now() - startedMs) / 1_000) * perSecond;
    while (next < due) {
      const index = next++;
      // One record is written in one way.
      const one: Promise<void> = (index % records) % 2 === 0 ? untilDone(index) : once(index);
      pending.add(one);
      void one.finally(() => pending.delete(one));
    }
  }, 10);

  const calls = { made: 0, failed: 0 };
  const calling = stage.replicas.map(async (each) => {
    while (running) {
      if (!faults.stopped.has(each)) {
        calls.made++;
        const served = await each.callTool(calls.made).catch(() => false);
        if (!served && !faults.stopped.has(each)) calls.failed++;
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  });
  return {
    ledger,
    acknowledged,
    calls,
    problems,
    async stop() {
      clearInterval(timer);
      await Promise.all(pending);
      running = false;
      await Promise.all(calling);
    },
  };
}
