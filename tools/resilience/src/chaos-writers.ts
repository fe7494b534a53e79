import { parentPort, workerData } from "node:worker_threads";
import type { Fate } from "./ledger.ts";
import type { Answer } from "./one-request.ts";
import { type Caller, createCaller } from "./replica.ts";

/** What the writers are started with. */
export interface WritersData {
  readonly replicas: readonly { readonly name: string; readonly url: string }[];
  readonly ids: readonly string[];
  readonly perSecond: number;
  /** What no answer may show. */
  readonly secrets: RegExp;
}

/** What the writers tell. */
export type WritersNews =
  | { readonly kind: "acknowledged"; readonly replica: string }
  | { readonly kind: "fate"; readonly write: string; readonly fate: Fate }
  | { readonly kind: "problem"; readonly text: string }
  /** A write was due and not begun, because too many were under way. */
  | { readonly kind: "held back" }
  /** Every write has its answer. */
  | { readonly kind: "ended" };

/** How long a keyed write is asked for. */
const keyedDeadlineMs = 60_000;
/** Most writes under way: with more, what piles up in a long outage would itself keep the replicas down. */
const maxPending = 250;

const { replicas, ids, perSecond, secrets } = workerData as WritersData;
const tell = (news: WritersNews) => parentPort?.postMessage(news);
const callers = replicas.map(({ name, url }) =>
  createCaller(
    name,
    url,
    () => secrets,
    (text) => tell({ kind: "problem", text }),
  ),
);
const caller = (index: number) => callers[index % callers.length] as Caller;
const record = (index: number) => ids[index % ids.length] ?? "";
const nameOf = (index: number) => `write ${index}`;
const note = (index: number, fate: Fate) => tell({ kind: "fate", write: nameOf(index), fate });

async function change(index: number, to: Caller, headers = {}): Promise<Answer | undefined> {
  const options = { method: "PATCH", body: { description: nameOf(index) }, headers, timeoutMs: 5_000 };
  const answer = await to.rest(`/servers/${record(index)}`, options).catch(() => undefined);
  if (answer?.status === 200) tell({ kind: "acknowledged", replica: to.name });
  else if (answer !== undefined && answer.status !== 503) {
    tell({ kind: "problem", text: `write ${index}: ${answer.status} ${answer.text}` });
  }
  return answer;
}

async function once(index: number): Promise<void> {
  const answer = await change(index, caller(index));
  if (answer?.status === 200) note(index, "acknowledged");
  else if (answer === undefined || answer.body?.error?.code === "outcome_unknown") note(index, "unknown");
  else note(index, "refused");
}

/** Asks, by turns of all replicas, until it is done: however often that is, it is done once. */
async function untilDone(index: number): Promise<void> {
  const headers = { "idempotency-key": `chaos-${index}` };
  const deadlineMs = performance.now() + keyedDeadlineMs;
  for (let attempt = 0; performance.now() < deadlineMs; attempt++) {
    const answer = await change(index, caller(index + attempt), headers);
    if (answer?.status === 200) return note(index, "acknowledged");
    // As the answer says, and later each time: callers that all come back at once would keep down what comes up.
    const afterMs = 1_000 * Math.max(1, Number(answer?.headers["retry-after"] ?? 1));
    const pauseMs = afterMs * Math.min(4, 1 + attempt / 2) * (1 + Math.random() / 2);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  tell({ kind: "problem", text: `write ${index} was never acknowledged` });
  note(index, "unknown");
}

const pending = new Set<Promise<void>>();
const startedMs = performance.now();
let next = 0;
const timer = setInterval(() => {
  const due = ((performance.now() - startedMs) / 1_000) * perSecond;
  while (next < due) {
    const index = next++;
    if (pending.size >= maxPending) {
      tell({ kind: "held back" });
      continue;
    }
    // One record is written in one way: half of them under keys, and asked for until they are done; the others once.
    const one: Promise<void> = (index % ids.length) % 2 === 0 ? untilDone(index) : once(index);
    pending.add(one);
    void one.finally(() => pending.delete(one));
  }
}, 10);
parentPort?.once("message", async () => {
  clearInterval(timer);
  await Promise.all(pending);
  tell({ kind: "ended" });
});
