import type { ClassifierStore } from "../../src/index.ts";

/** What the suite needs of a store under test: two handles on the same state, fresh for each test. */
export interface StoreUnderTest {
  readonly a: ClassifierStore;
  readonly b: ClassifierStore;
}

/** How the suite gets a store, and lets its time pass. */
export interface StoreHarness {
  open(): Promise<StoreUnderTest>;
  wait(ms: number): Promise<void>;
}
