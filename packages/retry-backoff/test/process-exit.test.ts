import { execFile } from "node:child_process";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const run = promisify(execFile);
const entry = pathToFileURL(`${import.meta.dirname}/../src/index.ts`).href;
const redisEntry = pathToFileURL(`${import.meta.dirname}/../src/redis/index.ts`).href;

/** Runs a module in a process of its own and gives what it printed; fails when it does not end by itself. */
const print = async (source: string) =>
  (await run(process.execPath, ["--input-type=module", "-e", source], { timeout: 10_000 })).stdout.trim();

it("RB-13 after stop() nothing keeps the process alive, though 50 calls had 5 minutes to wait", async () => {
  const out = await print(`
    import { createRetrier } from ${JSON.stringify(entry)};
    const retrier = createRetrier({ jitter: "none", baseMs: 300_000, maxMs: 300_000, budget: false });
    const fail = () => { throw new Error("no"); };
    const calls = Array.from({ length: 50 }, () => retrier.retry(fail, { idempotent: true }).catch((e) => e.code));
    setTimeout(async () => {
      retrier.stop();
      console.log([...new Set(await Promise.all(calls))].join());
    }, 20);
  `);
  expect(out).toBe("shutdown");
});

it("a budget in Redis keeps no process alive by its timer", async () => {
  const out = await print(`
    import { createRedisBudget } from ${JSON.stringify(redisEntry)};
    const client = { evalsha: async () => [1, 1], eval: async () => [1, 1] };
    const budget = createRedisBudget({ client, flushMs: 10 });
    budget.deposit({ tool: "t" });
    console.log((await budget.withdraw({ tool: "t" })).granted);
  `);
  expect(out).toBe("true");
});
