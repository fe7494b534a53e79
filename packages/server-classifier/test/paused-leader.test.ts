import { type ChildProcess, spawn } from "node:child_process";
import { eventually, startRedis } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { createRedisClassifierStore } from "../src/redis/index.ts";

function startReplica(url: string, inUse: string) {
  const program = `${import.meta.dirname}/support/replica-process.ts`;
  const child: ChildProcess = spawn(process.execPath, [program, url, inUse], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => lines.push(...text.trim().split("\n")));
  return { child, lines, [Symbol.dispose]: () => child.kill("SIGKILL") };
}

it("SC-4 a leader stopped by SIGSTOP for longer than its lease and resumed changes nothing", async () => {
  await using redis = await startRedis();
  const store = createRedisClassifierStore({ client: redis.client() });
  using old = startReplica(redis.url, "s1");
  await eventually(() => old.lines.includes("leads 1"), { timeoutMs: 15_000 });
  await eventually(async () => (await store.read()).snapshot?.servers.get("s1")?.tier === "hot");
  old.child.kill("SIGSTOP");
  using successor = startReplica(redis.url, "s2");
  await eventually(() => successor.lines.includes("leads 2"), { timeoutMs: 15_000 });
  await eventually(async () => (await store.read()).snapshot?.servers.get("s2")?.tier === "hot");
  const epochs = new Set<number | undefined>();
  const versions: number[] = [];
  old.child.kill("SIGCONT");
  await eventually(() => old.lines.includes("follows 2") || old.lines.includes("follows 1"), {
    timeoutMs: 15_000,
  });
  for (let i = 0; i < 30; i++) {
    const { snapshot } = await store.read();
    epochs.add(snapshot?.epoch);
    versions.push(snapshot?.version ?? 0);
  }
  expect([...epochs]).toEqual([2]);
  expect(versions).toEqual(versions.toSorted((a, b) => a - b));
  expect(old.lines.filter((line) => line.startsWith("leads"))).toEqual(["leads 1"]);
  expect(successor.lines.filter((line) => line.startsWith("leads"))).toEqual(["leads 2"]);
});
