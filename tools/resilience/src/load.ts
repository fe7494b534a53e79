import type { Answer } from "./one-request.ts";

/** Requests at a fixed rate, however long each takes. */
export interface Load {
  /** Answers so far, in the order of their coming; undefined for a request without an answer. */
  readonly answers: readonly LoadAnswer[];
  /** Begins no more, and waits for those under way. */
  stop(): Promise<readonly LoadAnswer[]>;
}

/** One answer under load. */
export interface LoadAnswer {
  readonly index: number;
  /** When its request began, in milliseconds of `performance.now()`. */
  readonly atMs: number;
  readonly answer: Answer | undefined;
}

/** Starts `perSecond` requests a second. */
export function startLoad(perSecond: number, request: (index: number) => Promise<Answer>): Load {
  const answers: LoadAnswer[] = [];
  const pending = new Set<Promise<void>>();
  const startedMs = performance.now();
  let next = 0;
  const timer = setInterval(() => {
    const due = ((performance.now() - startedMs) / 1_000) * perSecond;
    while (next < due) {
      const index = next++;
      const atMs = performance.now();
      const one: Promise<void> = request(index).then(
        (answer) => void answers.push({ index, atMs, answer }),
        () => void answers.push({ index, atMs, answer: undefined }),
      );
      pending.add(one);
      void one.finally(() => pending.delete(one));
    }
  }, 5);
  return {
    answers,
    async stop() {
      clearInterval(timer);
      await Promise.all(pending);
      return answers;
    },
  };
}
