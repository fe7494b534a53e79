import type { Clock } from "./clock.ts";

/** Settles like `work`, or rejects with what `late` makes when `ms` pass first. */
export function within<T>(clock: Clock, work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.setTimer(() => reject(late()), ms);
    work.then(resolve, reject).finally(cancel);
  });
}
