import { it } from "vitest";
import { describeClaims } from "./claim-conformance.ts";
import { describeLeaderLease } from "./leader-lease-conformance.ts";
import { describeSnapshots } from "./snapshot-conformance.ts";
import type { StoreHarness } from "./store-under-test.ts";
import { describeUsage } from "./usage-conformance.ts";

/** The behaviour every `ClassifierStore` shares. */
export function describeStore(harness: StoreHarness): void {
  describeLeaderLease(harness);
  describeSnapshots(harness);
  describeUsage(harness);
  describeClaims(harness);

  it("closes twice without complaint", async () => {
    const { a } = await harness.open();
    a.subscribe(() => {});
    await a.close();
    await a.close();
  });
}
