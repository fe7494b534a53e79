import { describe, expect, it } from "vitest";
import type { ClassifierStore } from "../src/classifier-store.ts";
import { createMemoryStore } from "../src/memory-store.ts";
import { createUsageReporter } from "../src/usage-reporter.ts";
import type { ServerUsage } from "../src/usage-source.ts";

/** A replica's own totals, and a store whose answers, or whose requests, can be lost on the way. */
function site() {
  let now = 1_000_000;
  let lose: "request" | "answer" | undefined;
  const inner = createMemoryStore({ now: () => now });
  const store: ClassifierStore = {
    ...inner,
    async report(report) {
      if (lose === "request") throw new Error("lost on the way");
      const reply = await inner.report(report);
      if (lose === "answer") throw new Error("the answer was lost");
      return reply;
    },
  };
  const totals = { uses: 0, lastUsedAt: 0 };
  const usage = (): ServerUsage[] => [
    {
      serverId: "s",
      lastUsedAt: totals.lastUsedAt,
      totalUses: totals.uses,
      activeSessions: 0,
      pooledSessions: 1,
    },
  ];
  const clock = { now: () => now, wall: () => now, setTimer: () => () => undefined };
  const reporter = createUsageReporter("me", { usage }, store, clock);
  return {
    use(count: number) {
      totals.uses += count;
      totals.lastUsedAt = now;
    },
    pass: (ms: number) => {
      now += ms;
    },
    flush: () => reporter.flush(60_000),
    lose: (what: typeof lose) => {
      lose = what;
    },
    counted: async () => (await inner.collect()).usage[0],
  };
}

describe("what a replica reports", () => {
  it.each(["answer", "request"] as const)("counts once when a report's %s is lost", async (what) => {
    const { use, pass, flush, lose, counted } = site();
    use(3);
    lose(what);
    await expect(flush()).rejects.toThrow("lost");
    pass(5_000);
    use(4);
    await expect(flush()).rejects.toThrow("lost");
    lose(undefined);
    pass(5_000);
    await flush();
    expect(await counted()).toMatchObject({ totalUses: 3, lastUsedAt: 1_000_000 });
    await flush();
    expect(await counted()).toMatchObject({ totalUses: 7, lastUsedAt: 1_005_000 });
    await flush();
    expect(await counted()).toMatchObject({ totalUses: 7 });
  });
});
