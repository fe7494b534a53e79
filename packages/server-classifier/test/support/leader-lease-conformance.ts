import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { publication } from "./publication.ts";
import type { StoreHarness } from "./store-under-test.ts";

/** Who leads, and in which epoch. */
export function describeLeaderLease({ open, wait }: StoreHarness): void {
  it("gives the lease to one, renews it for the holder, and tells others when it ends", async () => {
    const { a, b } = await open();
    const first = await a.acquire("A", 2_000, 0);
    expect(first).toMatchObject({ leader: true, epoch: 1, expiresInMs: 2_000 });
    expect(first.now).toBeGreaterThan(1e12);
    const other = await b.acquire("B", 2_000, 0);
    expect(other).toMatchObject({ leader: false, epoch: 1 });
    expect(other.expiresInMs).toBeGreaterThan(0);
    expect(other.expiresInMs).toBeLessThanOrEqual(2_000);
    expect(await a.acquire("A", 2_000, 1)).toMatchObject({ leader: true, epoch: 1 });
  });

  it("gives an expired lease to the next with a larger epoch, larger than any it saw", async () => {
    const { a, b } = await open();
    await a.acquire("A", 50, 0);
    await wait(80);
    expect(await b.acquire("B", 50, 0)).toMatchObject({ leader: true, epoch: 2 });
    await wait(80);
    expect(await a.acquire("A", 50, 41)).toMatchObject({ leader: true, epoch: 42 });
  });

  it("SC-4 goes above an epoch that a contender saw before the data was lost, though another leads", async () => {
    const { a, b } = await open();
    await a.acquire("A", 2_000, 0);
    expect(await b.acquire("B", 2_000, 7)).toMatchObject({ leader: false, epoch: 8 });
    expect((await a.publish(publication(1))).accepted).toBe(false);
    expect(await a.acquire("A", 2_000, 1)).toMatchObject({ leader: true, epoch: 8 });
    expect((await a.publish(publication(8))).accepted).toBe(true);
  });

  it("releases only for the holder, and announces it", async () => {
    const { a, b } = await open();
    const events: string[] = [];
    const off = b.subscribe((event) => events.push(event));
    await a.acquire("A", 5_000, 0);
    expect(await b.release("B")).toBe(false);
    await eventually(async () => {
      await a.acquire("A", 5_000, 0);
      expect(await a.release("A")).toBe(true);
      return events.includes("released");
    });
    expect((await b.acquire("B", 5_000, 0)).leader).toBe(true);
    off();
    await b.release("B");
    expect(await b.release("B")).toBe(false);
  });
}
