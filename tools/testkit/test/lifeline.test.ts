import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { eventually } from "../src/index.ts";

/** A process that starts a Redis, prints its pid and directory, and then behaves as `ending` says. */
async function owner(ending: string): Promise<{ child: ChildProcess; pid: number; directory: string }> {
  const source = `
    import { startRedis } from ${JSON.stringify(join(import.meta.dirname, "../src/index.ts"))};
    const redis = await startRedis();
    const directory = (await redis.client().config("GET", "dir"))[1];
    console.log(JSON.stringify({ pid: redis.pid, directory }));
    ${ending}
  `;
  const child = spawn(
    process.execPath,
    ["--conditions=@gatewright/source", "--input-type=module", "-e", source],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const line = await new Promise<string>((resolve) => child.stdout?.once("data", (d) => resolve(String(d))));
  return { child, ...(JSON.parse(line) as { pid: number; directory: string }) };
}

/** Whether the process runs; one that has ended and waits for its parent to notice does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("the lifeline", () => {
  it("ends servers and removes their data when the test process is killed", async () => {
    const { child, pid, directory } = await owner("setInterval(() => {}, 1000);");
    expect(isAlive(pid)).toBe(true);
    expect(existsSync(directory)).toBe(true);
    child.kill("SIGKILL");
    await eventually(() => !isAlive(pid) && !existsSync(directory));
  });

  it("ends a paused server too", async () => {
    const { child, pid } = await owner("redis.pause(); setInterval(() => {}, 1000);");
    child.kill("SIGKILL");
    await eventually(() => !isAlive(pid));
  });

  it("ends servers when the test process just exits", async () => {
    const { pid } = await owner("process.exit(3);");
    await eventually(() => !isAlive(pid));
  });

  it("does not keep a process alive that has closed its servers", async () => {
    const { child, pid } = await owner("await redis.close();");
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect(code).toBe(0);
    expect(isAlive(pid)).toBe(false);
  });
});
