import { eventually } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { publication } from "./publication.ts";
import type { StoreHarness } from "./store-under-test.ts";

/** What a leader publishes, and what is refused. */
export function describeSnapshots({ open, wait }: StoreHarness): void {
  it("SC-4 refuses a publication of an earlier epoch and keeps the later one", async () => {
    const { a, b } = await open();
    const late = await a.publish(publication(6, 10));
    expect(late).toMatchObject({ accepted: true, snapshot: { epoch: 6, version: 1 } });
    expect((await b.publish(publication(5, 3))).accepted).toBe(false);
    const { snapshot } = await b.read();
    expect(snapshot).toMatchObject({ epoch: 6, version: 1, metadata: { totalServers: 10 } });
    expect(snapshot?.servers.size).toBe(10);
  });

  it("SC-4 refuses the old leader also after a successor was elected that has not published yet", async () => {
    const { a, b } = await open();
    const { epoch } = await a.acquire("A", 50, 4);
    expect(epoch).toBe(5);
    await wait(80);
    expect((await b.acquire("B", 5_000, 0)).epoch).toBe(6);
    expect((await a.publish(publication(5))).accepted).toBe(false);
    expect((await b.publish(publication(6))).accepted).toBe(true);
  });

  it("replaces a snapshot as a whole, with growing versions, and reads back what was published", async () => {
    const { a, b } = await open();
    expect((await a.read()).snapshot).toBeUndefined();
    await a.publish(publication(1, 10));
    const second = publication(1, 5);
    expect((await a.publish(second)).snapshot?.version).toBe(2);
    const { snapshot } = await b.read();
    expect(snapshot?.servers).toEqual(second.classification.history);
    expect(snapshot?.metadata).toEqual(second.classification.metadata);
    expect((await a.publish(publication(1, 5, 99))).snapshot?.version).toBe(100);
  });

  it("forgets a snapshot after its time to live", async () => {
    const { a } = await open();
    await a.publish({ ...publication(1), ttlMs: 50 });
    await wait(80);
    expect((await a.read()).snapshot).toBeUndefined();
  });

  it("announces a publication", async () => {
    const { a, b } = await open();
    const events: string[] = [];
    b.subscribe((event) => events.push(event));
    await eventually(async () => {
      await a.publish(publication(1));
      return events.includes("published");
    });
  });
}
