import { expect, it } from "vitest";
import { EndHooks } from "../src/downstream/end-hooks.ts";

it("what is to be done at a session's end is done once, and at once when it is said after the end", () => {
  const hooks = new EndHooks();
  const done: string[] = [];
  hooks.add(() => done.push("before"));
  expect(done).toEqual([]);
  hooks.run();
  hooks.run();
  expect(done).toEqual(["before"]);
  hooks.add(() => done.push("after"));
  expect(done).toEqual(["before", "after"]);
});
