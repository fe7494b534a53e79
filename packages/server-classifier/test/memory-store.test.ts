import { describe, expect, it } from "vitest";
import { createMemoryStore } from "../src/index.ts";
import { request } from "./support/claim-request.ts";
import { describeStore } from "./support/store-conformance.ts";

describe("memory store", () => {
  let now = 1.8e12;
  describeStore({
    async open() {
      const store = createMemoryStore({ now: () => now });
      return { a: store, b: store };
    },
    async wait(ms) {
      now += ms;
    },
  });

  it("keeps a bounded number of poll states", async () => {
    const store = createMemoryStore({ maxScopes: 10 });
    const claim = (scope: string) =>
      store.claim([request(scope, "t", { intervalMs: 1_000, claimMs: 60_000 })]);
    for (let i = 0; i < 50; i++) await claim(`p${i}`);
    expect((await claim("p0")).replies[0]?.granted).toBe(true);
    expect((await claim("p49")).replies[0]?.granted).toBe(false);
  });
});
