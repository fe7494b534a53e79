import { parentPort, workerData } from "node:worker_threads";
import { keepingAgent, send } from "./one-request.ts";

/** A server that is asked all the time whether it is alive. */
export interface LiveTarget {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
}

/** What one server's answers were like. */
export interface LiveAnswers {
  /** How long each took, in milliseconds. */
  readonly ms: number[];
  /** The same without what the machine has kept from the server and from the one who asks. */
  readonly ownMs: number[];
  /** Everything that must not be. */
  readonly problems: string[];
}

/** What the thread tells: that every server was asked once, and its answers in the order of the targets when it is told to stop. */
export type LiveNews = "begun" | readonly LiveAnswers[];

/** How often each one is asked. */
const everyMs = 25;

let stopped = false;
parentPort?.once("message", () => {
  stopped = true;
});

async function ask({ name, url, pid }: LiveTarget, begun: () => void): Promise<LiveAnswers> {
  const agent = keepingAgent();
  const answers: LiveAnswers = { ms: [], ownMs: [], problems: [] };
  while (!stopped) {
    const startedMs = performance.now();
    try {
      const { status, ms, ownMs } = await send(url, { agent, timeoutMs: 5_000, serverPid: pid });
      answers.ms.push(ms);
      answers.ownMs.push(ownMs);
      if (status !== 200) answers.problems.push(`${name}: liveness ${status}`);
    } catch (error) {
      answers.problems.push(`${name}: no liveness: ${error}`);
    }
    begun();
    const left = everyMs - (performance.now() - startedMs);
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
  }
  agent.destroy();
  return answers;
}

const tell = (news: LiveNews) => parentPort?.postMessage(news);
const targets = workerData as readonly LiveTarget[];
const begun = new Set<LiveTarget>();
const asked = targets.map((target) =>
  ask(target, () => {
    if (begun.has(target)) return;
    begun.add(target);
    if (begun.size === targets.length) tell("begun");
  }),
);
tell(await Promise.all(asked));
