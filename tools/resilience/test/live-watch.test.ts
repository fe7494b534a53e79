import { readFileSync } from "node:fs";
import { type ServerProcess, startServerProcess } from "@gatewright/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { p99, startLiveWatch } from "../src/live-watch.ts";

const opened: ServerProcess[] = [];
afterEach(() => Promise.all(opened.splice(0).map((one) => one.end("SIGKILL"))));

async function start(command: string, ...args: string[]): Promise<ServerProcess> {
  const one = await startServerProcess({ command, args });
  opened.push(one);
  return one;
}

/** The one processor on which everything of a test runs that is to be in each other's way. */
const [, cpu] = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];

/** Starts a server that does this for each answer, and says when that took it longer than 300 ms. */
async function startServer(answering: string): Promise<{ server: ServerProcess; url: string }> {
  const script = `
    const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    const usedMs = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e3; };
    const compute = (ms) => { for (const end = usedMs() + ms; usedMs() < end; ); };
    require("node:http").createServer((_request, response) => {
      const begunMs = performance.now();
      ${answering};
      if (performance.now() - begunMs > 300) console.log("slow");
      response.end("{}");
    }).listen(0, "127.0.0.1", function () { console.log("listens on " + this.address().port); });`;
  const server = await start(
    "taskset",
    "-c",
    `${cpu}`,
    process.execPath,
    "--single-threaded-gc",
    "-e",
    script,
  );
  const [, port] = await server.waitForOutput(/listens on (\d+)/);
  return { server, url: `http://127.0.0.1:${port}` };
}

/** Leaves a quarter of the processor to the server: three others want as much. */
async function starve(): Promise<void> {
  const others = Array.from({ length: 3 }, () =>
    start("taskset", "-c", `${cpu}`, "sh", "-c", "while :; do :; done"),
  );
  await Promise.all(others);
}

/** The slowest answer until one was slow: as it was seen, and without waits for a processor. */
async function watch({ server, url }: Awaited<ReturnType<typeof startServer>>) {
  const live = await startLiveWatch([{ name: "it", url, pid: server.pid }]);
  await server.waitForOutput(/slow/);
  const [answers] = await live.stop();
  expect(answers?.problems).toEqual([]);
  return { ms: p99(answers?.ms ?? []), ownMs: p99(answers?.ownMs ?? []) };
}

describe("liveness checks", () => {
  it.each([
    ["computes", "compute(400)"],
    ["waits", "sleep(400)"],
  ])("find a server whose event loop stands still because it %s", async (_how, answering) => {
    const { ms, ownMs } = await watch(await startServer(answering));
    expect(ms).toBeGreaterThanOrEqual(ownMs);
    expect(ownMs).toBeGreaterThan(250);
  });

  it("find it also where the server has little of a processor", async () => {
    const started = await startServer("sleep(400)");
    await starve();
    expect((await watch(started)).ownMs).toBeGreaterThan(250);
  });

  it("do not blame a server that has to wait for a processor", async () => {
    const started = await startServer("compute(100)");
    await starve();
    const { ms, ownMs } = await watch(started);
    expect(ms).toBeGreaterThan(300);
    expect(ownMs).toBeLessThan(250);
  });
});
