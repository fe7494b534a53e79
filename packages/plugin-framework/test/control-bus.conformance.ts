import { eventually } from "@gatewright/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type ControlBus,
  type ControlFrame,
  type ControlRecord,
  createPluginPipeline,
  type PipelineDeps,
} from "../src/index.ts";
import { toolCall, toolPlugin, violation } from "./support.ts";

/** Two ends of one bus, as two replicas have them. */
export interface BusPair {
  readonly one: ControlBus;
  readonly two: ControlBus;
  /** Lets so much time pass for members and overrides. */
  age(ms: number): Promise<void>;
  /** Everything is lost, as by a flush of the store. */
  lose(): Promise<void>;
  readonly deps?: Partial<PipelineDeps>;
  close(): Promise<void>;
}

const record = (rev: number, more: Partial<ControlRecord> = {}): ControlRecord => ({
  mode: "disabled",
  rev,
  uuid: `uuid-${rev}`,
  wipeSeq: 0,
  setBy: "a test | of %",
  ...more,
});

/** What every ControlBus must do. */
export function controlBusConformance(name: string, open: () => Promise<BusPair>): void {
  describe(`ControlBus contract: ${name}`, () => {
    let pair: BusPair;
    beforeEach(async () => {
      pair = await open();
    });
    afterEach(() => pair.close());

    it("stores a record only over the rev that was expected, and hands back what is stored", async () => {
      const { one, two } = pair;
      expect(await one.read(["limiter"])).toEqual([undefined]);
      expect(await one.write("limiter", record(1), 0)).toEqual({ written: true, current: record(1) });
      expect(await two.write("limiter", record(1, { uuid: "late" }), 0)).toEqual({
        written: false,
        current: record(1),
      });
      expect(await two.write("limiter", record(2, { wipeSeq: 3 }), 1)).toMatchObject({ written: true });
      expect(await one.read(["limiter", "other"])).toEqual([record(2, { wipeSeq: 3 }), undefined]);
    });

    it("lets exactly one of many writers at the same rev win", async () => {
      const writes = Array.from({ length: 40 }, (_, index) =>
        (index % 2 === 0 ? pair.one : pair.two).write("limiter", record(1, { uuid: `w${index}` }), 0),
      );
      const verdicts = await Promise.all(writes);
      expect(verdicts.filter(({ written }) => written)).toHaveLength(1);
      const [stored] = await pair.one.read(["limiter"]);
      expect(new Set(verdicts.map(({ current }) => current?.uuid))).toEqual(new Set([stored?.uuid]));
    });

    it("lists every scope that has an override, and tenants' no more when it has ended", async () => {
      await pair.one.write("limiter", record(1), 0);
      await pair.two.write("limiter:t:acme%20inc", record(1), 0);
      expect([...(await pair.one.scopes())].sort()).toEqual(["limiter", "limiter:t:acme%20inc"]);
      await pair.one.write("limiter:t:acme%20inc", record(2, { mode: "inherit" }), 1);
      await pair.one.unlist?.(["limiter:t:acme%20inc"]);
      expect(await pair.two.scopes()).toEqual(["limiter"]);
    });

    it("replaces an expired record by its successor: rev + 1, the uuid with a suffix, inherit", async () => {
      const { current } = await pair.one.write("limiter", record(1, { wipeSeq: 2 }), 0, 40);
      expect(current?.expiresAt).toBeGreaterThan(0);
      await pair.age(41);
      await eventually(async () => {
        const [stored] = await pair.two.read(["limiter"]);
        expect(stored).toEqual(record(2, { mode: "inherit", uuid: "uuid-1~x", wipeSeq: 2 }));
      });
      expect(await pair.one.write("limiter", record(2), 1)).toMatchObject({ written: false });
    });

    it("carries frames of scope and rev to every subscriber until it unsubscribes", async () => {
      const heard: ControlFrame[][] = [[], []];
      const stop = await pair.one.subscribe(
        (frame) => heard[0]?.push(frame),
        () => undefined,
      );
      await pair.two.subscribe(
        (frame) => heard[1]?.push(frame),
        () => undefined,
      );
      await eventually(async () => {
        await pair.two.publish({ scope: "limiter", rev: 7 });
        expect(heard[0]).toContainEqual({ scope: "limiter", rev: 7 });
        expect(heard[1]).toContainEqual({ scope: "limiter", rev: 7 });
      });
      stop();
      heard[0] = [];
      await pair.one.publish({ scope: "limiter", rev: 8 });
      await eventually(() => heard[1]?.some(({ rev }) => rev === 8) === true);
      expect(heard[0]).toEqual([]);
    });

    it("counts acknowledgements of a record and of newer ones, never of older or of a stranger's uuid", async () => {
      const { one, two } = pair;
      await one.ack("a", "limiter", record(2));
      await two.ack("b", "limiter", record(3));
      await two.ack("b", "limiter", record(1));
      await one.ack("c", "limiter", record(1));
      await one.ack("d", "limiter", record(2, { uuid: "other" }));
      expect([...(await two.acks("limiter", record(2)))].sort()).toEqual(["a", "b"]);
      expect(await two.acks("unknown", record(1))).toEqual([]);
    });

    it("knows its members by their heartbeat and forgets them six seconds after the last; a beat says if it was one", async () => {
      expect(await pair.one.beat("a")).toMatchObject({ known: false });
      expect(await pair.two.beat("b")).toMatchObject({ known: false });
      expect([...(await pair.one.members())].sort()).toEqual(["a", "b"]);
      await pair.age(4_000);
      expect(await pair.two.beat("b")).toMatchObject({ known: true });
      await pair.age(2_100);
      expect(await pair.one.members()).toEqual(["b"]);
      expect(await pair.one.beat("a")).toMatchObject({ known: false });
      expect(await pair.one.beat("a")).toMatchObject({ known: true });
      await pair.one.leave("a");
      await pair.two.leave("b");
      expect(await pair.one.members()).toEqual([]);
    });

    describe("two pipelines", () => {
      const make = (bus: ControlBus, replica: string) =>
        createPluginPipeline(
          { plugins: [{ use: toolPlugin("guard", () => ({ block: violation })) }] },
          { bus, replica, ...pair.deps },
        );

      it("PF-I6 converge, and the report names who acknowledged", async () => {
        await using one = await make(pair.one, "one");
        await using two = await make(pair.two, "two");
        const report = await one.setMode("guard", "disabled", { setBy: "ann" });
        expect(report).toMatchObject({ rev: 1, previousMode: "enforce", converged: true, missing: [] });
        expect([...report.expected].sort()).toEqual(["one", "two"]);
        expect(report.p50Ms).toBeLessThanOrEqual(report.maxMs);
        expect(two.explainMode("guard")).toMatchObject({
          mode: "disabled",
          layer: "global_override",
          rev: 1,
        });
        const scope = two.begin({ requestId: "r" });
        expect(await scope.invoke("tool_pre_invoke", toolCall)).toMatchObject({ allowed: true });
        scope.end();
      });

      it("PF-I3 ignore frames that are repeated, old, forged or for nobody", async () => {
        await using one = await make(pair.one, "one");
        await using two = await make(pair.two, "two");
        await one.setMode("guard", "permissive");
        await one.setMode("guard", "disabled");
        for (const rev of [1, 2, 2, 1, 999]) await pair.one.publish({ scope: "guard", rev });
        await pair.one.publish({ scope: "nobody", rev: 1 });
        await pair.one.publish({ scope: "a:b:c:d", rev: 1 });
        const report = await two.setMode("guard", "enforce");
        expect(report).toMatchObject({ rev: 3, converged: true });
        expect(one.explainMode("guard")).toMatchObject({ mode: "enforce", rev: 3 });
      });

      it("PF-I5 put a lost record back and never fall back to the file silently", async () => {
        const alerts: string[] = [];
        await using one = await createPluginPipeline(
          { plugins: [{ use: toolPlugin("guard", () => ({ block: violation })) }] },
          {
            bus: pair.one,
            replica: "one",
            ...pair.deps,
            observer: { controlAlert: ({ kind }) => alerts.push(kind) },
          },
        );
        for (const mode of ["disabled", "permissive"] as const)
          await one.setMode("guard", mode, { waitFor: "none" });
        await pair.lose();
        await pair.one.publish({ scope: "guard", rev: 3 });
        await eventually(async () => {
          await pair.age(300);
          expect((await pair.two.read(["guard"]))[0]).toMatchObject({ mode: "permissive", rev: 2 });
        });
        expect(one.explainMode("guard")).toMatchObject({ mode: "permissive", rev: 2 });
        await eventually(() => alerts.includes("record_lost") && alerts.includes("record_reasserted"));
        // All that live would be waited for, until a list of members that has just begun is whole.
        const report = await one.setMode("guard", "enforce", { waitFor: "none" });
        expect(report.rev).toBe(3);
      });
    });
  });
}
