import { createHistogram } from "node:perf_hooks";
import { createSessionKeys, createSessionPool } from "@gatewright/session-pool";

/*
 * 1 000 waiters on 10 exclusive sessions: how long after a release the next waiter runs, and whether they are
 * served in the order they came. Each holder keeps its session for one turn of the event loop.
 */

const keys = createSessionKeys({ secret: "0123456789abcdef0123456789abcdef" });
const key = keys.exclusive({ id: "server" }, { principal: "ann" });
const pool = createSessionPool({}, { factory: { connect: async () => ({}), close: async () => {} } });
const handover = createHistogram();
let outOfOrder = 0;
let served = 0;

for (let round = 0; round < 50; round++) {
  const releasedAt: bigint[] = [];
  let last = -1;
  const holders = await Promise.all(Array.from({ length: 10 }, () => pool.acquire(key)));
  const waits = Array.from({ length: 1000 }, async (_, i) => {
    const lease = await pool.acquire(key);
    handover.record(process.hrtime.bigint() - releasedAt.shift()! + 1n);
    if (i < last) outOfOrder++;
    last = i;
    served++;
    await new Promise((resolve) => setImmediate(resolve));
    releasedAt.push(process.hrtime.bigint());
    lease.release();
  });
  for (const lease of holders) {
    releasedAt.push(process.hrtime.bigint());
    lease.release();
  }
  await Promise.all(waits);
}
const ms = (ns: number) => (ns / 1e6).toFixed(4);
console.log(`1 000 waiters on 10 sessions, 50 rounds: ${served} served, ${outOfOrder} out of order`);
console.log(
  `handover after release: p50 ${ms(handover.percentile(50))} ms, p99 ${ms(handover.percentile(99))} ms, max ${ms(handover.max)} ms`,
);
await pool.close();
