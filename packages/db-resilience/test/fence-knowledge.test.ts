import { expect, it } from "vitest";
import { systemClock } from "../src/clock.ts";
import { FenceKnowledge } from "../src/fence-knowledge.ts";
import { createMemoryFenceStore, type FenceStore } from "../src/index.ts";

const at = (timeline: number, branch: string) => ({ era: 0, systemIdentifier: "1", timeline, branch });

it("FO-03 a branch that the store missed while it was away is not taken away by the sight of its timeline", async () => {
  const memory = createMemoryFenceStore();
  let away = false;
  const reach = <T>(call: () => Promise<T>): Promise<T> =>
    away ? Promise.reject(new Error("the store is away")) : call();
  const store: FenceStore = {
    read: () => reach(() => memory.read()),
    raise: (fence) => reach(() => memory.raise(fence)),
    overrule: (era) => reach(() => memory.overrule(era)),
  };
  const known = new FenceKnowledge(store, systemClock);
  await known.raise(at(1, "a"));
  known.see(at(2, ""));
  await known.refresh();
  expect(known.highest).toMatchObject({ timeline: 2, branch: "" });
  away = true;
  await known.raise(at(2, "b"));
  expect(known.highest).toMatchObject({ timeline: 2, branch: "b" });
  away = false;
  await known.refresh();
  await known.refresh();
  expect(known.highest).toMatchObject({ timeline: 2, branch: "b" });
  expect(await memory.read()).toMatchObject({ timeline: 2, branch: "b" });
  // Another server of that timeline is refused now, by all who ask the store.
  await known.raise(at(2, "c"));
  expect(known.highest).toMatchObject({ branch: "b" });
});
