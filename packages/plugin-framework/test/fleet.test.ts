import { eventually, type RedisServer, startRedis } from "@gatewright/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Fleet, type SetAnswer } from "./fleet.ts";
import type { Decision } from "./fleet-worker.ts";
import { emptyWithOldList } from "./support.ts";

const REPLICAS = 24;
const LIMIT = 5;
const LEASE_MS = 1_000;

// Starting 24 processes takes some seconds; the cases share them, and each begins in mode enforce.
describe("a fleet of 24 processes over Redis", () => {
  let redis: RedisServer;
  let fleet: Fleet;
  let user = 0;
  const admin = () => fleet.workers[0]!;

  beforeAll(async () => {
    redis = await startRedis();
    await emptyWithOldList(redis.client());
    fleet = new Fleet({ port: redis.port, fileMode: "enforce", limit: LIMIT });
    await fleet.grow(REPLICAS);
  });
  afterAll(async () => {
    await fleet?.close();
    await redis?.close();
  });
  beforeEach(async () => {
    user++;
    await fleet.all("suppress", { on: false });
    await admin().set("enforce", { wipe: "never" });
  });

  const hot = () => `hot-${user}`;
  const saturate = async () => {
    for (let count = 0; count < LIMIT; count++) expect((await admin().call(hot())).allowed).toBe(true);
    expect(await admin().call(hot())).toMatchObject({ allowed: false, status: "blocked" });
  };
  const drive = () => fleet.all("start", { user: hot(), everyMs: 15 });
  const halt = async () => (await fleet.all<Decision[]>("stop")).flat();
  const committed = ({ report, wallToMonotonic }: SetAnswer) => (report.committedAt ?? 0) + wallToMonotonic;

  it("PF-1 every replica acknowledges disabled and no later call is refused", async () => {
    await saturate();
    await drive();
    const answer = await admin().set("disabled", { waitFor: "all" });
    await eventually(async () => (await admin().explain()).mode === "disabled");
    await Promise.all(fleet.workers.map((worker) => worker.call(hot())));
    const decisions = await halt();
    expect(answer.report).toMatchObject({ converged: true, guarantee: "fenced", wipe: true, missing: [] });
    expect(answer.report.acked).toHaveLength(REPLICAS);
    expect(answer.report.maxMs).toBeLessThanOrEqual(5_000);
    const later = decisions.filter(({ at }) => at > answer.returnedAt);
    expect(later.length).toBeGreaterThan(0);
    expect(later.filter(({ allowed }) => !allowed)).toEqual([]);
    expect(decisions.some(({ allowed }) => !allowed)).toBe(true);
  });

  it("PF-2 with every publish suppressed nothing is refused after the commit and all acknowledge", async () => {
    await saturate();
    await fleet.all("suppress", { on: true });
    await drive();
    const answer = await admin().set("disabled", { waitFor: "all", timeoutMs: 7_500 });
    const decisions = await halt();
    expect(answer.report).toMatchObject({ converged: true });
    expect(answer.report.acked).toHaveLength(REPLICAS);
    const after = decisions.filter(({ at }) => at > committed(answer) + 1);
    expect(after.filter(({ allowed }) => !allowed)).toEqual([]);
  });

  it("PF-3 with every publish suppressed no call is unlimited later than one lease after enforce", async () => {
    await saturate();
    await admin().set("disabled", { wipe: "never", waitFor: "all" });
    await fleet.all("suppress", { on: true });
    await drive();
    const answer = await admin().set("enforce", { waitFor: "all", timeoutMs: 7_500 });
    await Promise.all(fleet.workers.map((worker) => worker.call(hot())));
    const decisions = await halt();
    expect(answer.report.converged).toBe(true);
    const unlimited = decisions.filter(({ allowed }) => allowed).map(({ at }) => at - committed(answer));
    expect(Math.max(...unlimited)).toBeLessThanOrEqual(LEASE_MS + 250);
    expect(decisions.filter(({ at, allowed }) => at > answer.returnedAt && allowed)).toEqual([]);
  });

  it("PF-4 a hundred toggles from three admins leave every replica on the highest rev", async () => {
    const before = (await admin().explain()).rev;
    const admins = fleet.workers.slice(0, 3);
    const modes = ["disabled", "permissive", "enforce"] as const;
    const toggles = Array.from({ length: 100 }, (_, index) =>
      admins[index % 3]!.set(modes[index % modes.length]!, { waitFor: "none" }),
    );
    const reports = (await Promise.all(toggles)).map(({ report }) => report);
    const highest = Math.max(...reports.map(({ rev }) => rev));
    expect(highest).toBe(before + 100);
    expect(new Set(reports.map(({ rev }) => rev)).size).toBe(100);
    const last = reports.find(({ rev }) => rev === highest);
    await eventually(async () => {
      const states = await Promise.all(fleet.workers.map((worker) => worker.explain()));
      expect(new Set(states.map(({ rev }) => rev))).toEqual(new Set([highest]));
      expect(new Set(states.map(({ mode }) => mode))).toEqual(new Set([last?.mode]));
    });
  });

  it("PF-13 at the limit, permissive allows and keeps the shadow verdict in result, record and counter", async () => {
    await saturate();
    await admin().set("permissive");
    const worker = fleet.workers[5]!;
    const before = await worker.send<number>("shadows");
    expect(await worker.call(hot())).toMatchObject({
      allowed: true,
      shadow: 1,
      status: "blocked",
      mode: "permissive",
    });
    expect(await worker.send<number>("shadows")).toBe(before + 1);
  });

  it("PF-I2 a replica that was stopped and goes on decides nothing under an expired lease", async () => {
    await saturate();
    await admin().set("disabled", { wipe: "never" });
    const sleeper = fleet.workers[7]!;
    expect((await sleeper.call(hot())).allowed).toBe(true);
    sleeper.process.kill("SIGSTOP");
    const { report } = await admin().set("enforce", { waitFor: "all", timeoutMs: 2 * LEASE_MS });
    expect(report).toMatchObject({ converged: false, missing: [sleeper.replica] });
    const decision = sleeper.call(hot());
    sleeper.process.kill("SIGCONT");
    expect(await decision).toMatchObject({ allowed: false });
  });

  it("PF-6 a cold replica, disabled in its file, limits its very first call once it is toggled", async () => {
    const [cold] = await fleet.grow(1, { fileMode: "disabled", replica: "cold" });
    await admin().set("disabled", { wipe: "never" });
    await saturateAs(hot());
    const { report } = await admin().set("enforce", { waitFor: "all", wipe: "never" });
    expect(report.acked.map(({ replica }) => replica)).toContain("cold");
    expect(await cold!.call(hot())).toMatchObject({ allowed: false, status: "blocked" });
    // It leaves: one that is killed would be waited for by the switches of the next case.
    await fleet.part(cold!);
  });

  const saturateAs = async (name: string) => {
    await admin().set("enforce", { wipe: "never" });
    for (let count = 0; count < LIMIT; count++) await admin().call(name);
    await admin().set("disabled", { wipe: "never" });
  };

  it("PF-5 a killed replica is reported missing until its heartbeat expires, the others follow", async () => {
    const victim = fleet.workers.at(-1)!;
    await fleet.kill(victim);
    const { report } = await admin().set("disabled", { waitFor: "all", timeoutMs: 2_000 });
    expect(report).toMatchObject({ converged: false });
    expect(report.missing).toContain(victim.replica);
    const alive = fleet.workers.map(({ replica }) => replica);
    expect(report.acked.map(({ replica }) => replica).sort()).toEqual(alive.sort());
    await eventually(
      async () => {
        const again = await admin().set("disabled", { waitFor: "all", timeoutMs: 500 });
        expect(again.report).toMatchObject({ converged: true, missing: [] });
        expect(again.report.expected).toHaveLength(REPLICAS - 1);
      },
      { timeoutMs: 15_000, intervalMs: 50 },
    );
  });
});
