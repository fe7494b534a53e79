import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { startRawServer } from "@gatewright/mcp-fixtures";
import { describe, expect, it } from "vitest";
import { readHeap } from "../src/heap-probe.ts";
import { watchNoise } from "../src/machine-noise.ts";
import { createMcpCaller, type McpTarget } from "../src/mcp-caller.ts";
import { runOpenLoop } from "../src/open-loop.ts";
import { choosePinning } from "../src/pinning.ts";
import { createRecorder } from "../src/recorder.ts";
import { runLoad } from "../src/run-plan.ts";
import { constant, createSchedule } from "../src/schedule.ts";
import { spawnProcess } from "../src/spawned.ts";
import { createTokenSigner } from "../src/token.ts";

const target = (url: string, change: Partial<McpTarget> = {}): McpTarget => ({
  url,
  front: "modern",
  tokens: [],
  sessions: 1,
  connections: 10,
  tool: "echo",
  args: { text: "x" },
  ...change,
});

const source = (file: string): string => join(import.meta.dirname, "..", "src", file);

/** Process figures come from /proc. */
const onLinux = process.platform === "linux" ? it : () => undefined;

describe("open loop", () => {
  it("starts every call when it is due, and does not wait for slow answers", async () => {
    const recorder = createRecorder([1], undefined);
    const started: number[] = [];
    const schedule = createSchedule([constant(200, 0.5)]);
    const report = await runOpenLoop({
      schedule,
      recorder,
      call: (_index, done) => {
        started.push(performance.now());
        setTimeout(done, 100, "ok");
      },
    });
    expect(started).toHaveLength(100);
    expect(report.maxInFlight).toBeGreaterThan(10);
    expect(recorder.outcomes()["dropped"]).toBeUndefined();
    expect(report.lag.count).toBe(100);
  });

  it("counts what it could not start as dropped, and what never came back as unanswered", async () => {
    const recorder = createRecorder([1], undefined);
    const report = await runOpenLoop({
      schedule: createSchedule([constant(100, 0.2)]),
      recorder,
      maxInFlight: 5,
      drainMs: 20,
      call: () => undefined,
    });
    expect(report).toMatchObject({ dropped: 15, unanswered: 5 });
    expect(recorder.outcomes()).toEqual({ dropped: 15, unanswered: 5 });
  });

  it("measures from when a call was due: a stall of the generator shows in the latencies", async () => {
    const recorder = createRecorder([1], undefined);
    const report = await runOpenLoop({
      schedule: createSchedule([constant(100, 0.4)]),
      recorder,
      call: (index, done) => {
        if (index === 10) {
          const until = performance.now() + 120;
          while (performance.now() < until);
        }
        done("ok");
      },
    });
    expect(report.late).toBeGreaterThan(0);
    expect(recorder.outcomes()["late"]).toBe(report.late);
    expect(report.lag.max).toBeGreaterThan(90);
  });
});

describe("pacer", () => {
  it("starts the last call too, however close the calls before it are", async () => {
    const loop = (round: number) =>
      runOpenLoop({
        schedule: createSchedule([constant(3_000 + 37 * round, 0.02)]),
        call: (_index, done) => done("ok"),
        recorder: createRecorder([1], undefined),
      });
    // Most of a round is the head start of its pacer.
    for (let round = 0; round < 30; round += 5) {
      const reports = await Promise.all([0, 1, 2, 3, 4].map((next) => loop(round + next)));
      expect(reports.map(({ unanswered }) => unanswered)).toEqual([0, 0, 0, 0, 0]);
    }
  });
});

describe("caller", () => {
  for (const front of ["legacy", "modern"] as const) {
    it(`loads an MCP server as ${front} clients`, async () => {
      await using server = await startRawServer({ era: front });
      const result = await runLoad({
        name: "direct",
        target: target(server.url, { front, sessions: 4 }),
        load: { kind: "open", stages: [constant(200, 0.5)] },
        bounds: [0.25, 0.5],
        pid: process.pid,
        warmUpCalls: 10,
      });
      // A stall of this machine makes a call late; none may fail.
      const { ok = 0, late = 0 } = result.outcomes;
      expect(ok + late, JSON.stringify(result.outcomes)).toBe(100);
      expect(result.achievedRps).toBe(2 * ok);
      expect(result.segments.map(({ offered }) => offered)).toEqual([50, 50]);
      expect(server.stats().requests["tools/call"]).toBe(110);
      expect(server.stats().sessionsOpened).toBe(front === "legacy" ? 4 : 0);
    });
  }

  it("holds a fixed concurrency, one user a caller", async () => {
    await using server = await startRawServer();
    const result = await runLoad({
      name: "direct",
      target: target(server.url, { tokens: ["a", "b", "c"], tool: "wait", args: { ms: 20 } }),
      load: { kind: "closed", concurrency: 3, seconds: 0.4 },
      bounds: [0.4],
      pid: undefined,
      warmUpCalls: 0,
    });
    expect(server.stats().concurrentMax).toBe(3);
    expect(result.answeredByUser.reduce((sum, count) => sum + count, 0)).toBe(result.ok);
    expect(Math.min(...result.answeredByUser)).toBeGreaterThan(2);
    expect(result.latency.p50).toBeGreaterThanOrEqual(19);
  });

  it("tells refusals under load from errors", async () => {
    const answers: Record<string, [number, string]> = {
      "/a": [200, '{"result":{}}'],
      "/b": [429, ""],
      "/c": [503, ""],
      "/d": [500, ""],
      "/e": [200, '{"error":{}}'],
      "/f": [200, '{"result":{"isError":true}}'],
    };
    const server = createServer((request, response) => {
      const [status, body] = answers[request.url ?? ""] ?? [404, ""];
      request.resume();
      request.on("end", () => response.writeHead(status).end(body));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const outcomes: string[] = [];
    for (const path of [...Object.keys(answers), "/g"]) {
      const caller = await createMcpCaller(target(`http://127.0.0.1:${port}${path}`));
      outcomes.push(await new Promise((resolve) => caller.call(0, resolve)));
      await caller.close();
    }
    server.closeAllConnections();
    server.close();
    await once(server, "close");
    const caller = await createMcpCaller(target(`http://127.0.0.1:${port}/a`));
    outcomes.push(await new Promise((resolve) => caller.call(0, resolve)));
    await caller.close();
    expect(outcomes).toEqual([
      "ok",
      "shed",
      "shed",
      "http_500",
      "rpc_error",
      "tool_error",
      "http_404",
      "network_ECONNREFUSED",
    ]);
  });

  it("says why no session could be opened", async () => {
    await using server = await startRawServer({ era: "modern" });
    await expect(createMcpCaller(target(server.url, { front: "legacy" }))).rejects.toThrow(/answered 400/);
  });
});

describe("proxies", () => {
  it.each(["bare-proxy.ts", "least-proxy.ts"])(
    "send everything on and back unchanged, %s",
    async (program) => {
      await using upstream = await startRawServer({ era: "legacy" });
      const proxy = spawnProcess("proxy", [process.execPath, source(program), new URL(upstream.url).origin]);
      try {
        const [origin] = await proxy.waitFor(/http:\/\/127\.0\.0\.1:\d+/, 10_000);
        const caller = await createMcpCaller(target(`${origin}/mcp`, { front: "legacy" }));
        expect(await new Promise((resolve) => caller.call(0, resolve))).toBe("ok");
        await caller.close();
        expect(upstream.stats().requests).toMatchObject({ initialize: 1, "tools/call": 1 });
      } finally {
        await proxy.stop();
      }
      expect(proxy.isRunning()).toBe(false);
    },
  );
});

describe("plain gateway", () => {
  it.each(["legacy", "modern"] as const)("serves users with their tokens, %s", async (era) => {
    await using upstream = await startRawServer({ era });
    const signer = createTokenSigner();
    const plain = spawnProcess(
      "plain gateway",
      [process.execPath, source("plain-gateway.ts"), upstream.url],
      {
        env: { ...process.env, PUBLIC_KEY: signer.publicKeyPem },
      },
    );
    try {
      const [origin] = await plain.waitFor(/http:\/\/127\.0\.0\.1:\d+/, 10_000);
      const calls = { front: era, tokens: [signer.tokenOf("ann"), signer.tokenOf("bob")] };
      const caller = await createMcpCaller(target(`${origin}/mcp`, calls));
      for (let index = 0; index < 4; index++) {
        expect(await new Promise((resolve) => caller.call(index, resolve))).toBe("ok");
      }
      await caller.close();
      expect(upstream.stats().requests).toMatchObject({ "tools/call": 4 });
      const stranger = createTokenSigner().tokenOf("ann");
      await expect(
        fetch(`${origin}/mcp`, {
          method: "POST",
          headers: { authorization: `Bearer ${stranger}` },
          body: "{}",
        }),
      ).resolves.toMatchObject({ status: 401 });
    } finally {
      await plain.stop();
    }
  });

  it("bridges for clients without sessions, a session of the upstream for each user", async () => {
    await using upstream = await startRawServer({ era: "legacy" });
    const signer = createTokenSigner();
    const plain = spawnProcess(
      "plain gateway",
      [process.execPath, source("plain-gateway.ts"), upstream.url, "bridged"],
      { env: { ...process.env, PUBLIC_KEY: signer.publicKeyPem } },
    );
    try {
      const [origin] = await plain.waitFor(/http:\/\/127\.0\.0\.1:\d+/, 10_000);
      const calls = { front: "modern", tokens: [signer.tokenOf("ann"), signer.tokenOf("bob")] } as const;
      const caller = await createMcpCaller(target(`${origin}/mcp`, calls));
      for (let index = 0; index < 4; index++) {
        expect(await new Promise((resolve) => caller.call(index, resolve))).toBe("ok");
      }
      await caller.close();
      // Whoever sends a modern envelope on, or no session, is refused by this upstream.
      expect(upstream.stats().requests).toMatchObject({
        initialize: 2,
        "notifications/initialized": 2,
        "tools/call": 4,
      });
      const prefix = "io.modelcontextprotocol/";
      const post = (method: string, name: string, version = "2026-07-28") =>
        fetch(`${origin}/mcp`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${signer.tokenOf("ann")}`,
            "content-type": "application/json",
            "mcp-protocol-version": version,
            "mcp-method": "tools/call",
            "mcp-name": name,
          },
          body: JSON.stringify({
            jsonrpc: "2.0",
            id: "mine",
            method,
            params: {
              name: "echo",
              arguments: { text: "t" },
              _meta: { [`${prefix}protocolVersion`]: "2026-07-28", [`${prefix}clientCapabilities`]: {} },
            },
          }),
        });
      const answered = await post("tools/call", `=?base64?${Buffer.from("echo").toString("base64")}?=`);
      expect(answered.status).toBe(200);
      expect(await answered.json()).toMatchObject({ id: "mine", result: { resultType: "complete" } });
      await expect(post("tools/call", "other")).resolves.toMatchObject({ status: 400 });
      await expect(post("tools/list", "echo")).resolves.toMatchObject({ status: 400 });
      await expect(post("tools/call", "echo", "2025-11-25")).resolves.toMatchObject({ status: 400 });
      // What such a client says of itself has a session of its own: this one names no client.
      expect(upstream.stats().requests).toMatchObject({ initialize: 3, "tools/call": 5 });
    } finally {
      await plain.stop();
    }
  });
});

describe("processes", () => {
  it("reads the heap of a running node after a collection, without its help", async () => {
    const child = spawnProcess("idle", [
      process.execPath,
      "--inspect-port=127.0.0.1:0",
      "-e",
      "const keep = Array.from({ length: 1e6 }, (_, i) => ({ i })); setInterval(() => keep.length, 1000); console.log('up')",
    ]);
    try {
      await child.waitFor(/up/, 10_000);
      const { usedBytes, totalBytes } = await readHeap(child);
      expect(usedBytes).toBeGreaterThan(10e6);
      expect(totalBytes).toBeGreaterThanOrEqual(usedBytes);
      // A second reading finds the inspector open.
      expect((await readHeap(child)).usedBytes).toBeGreaterThan(10e6);
    } finally {
      await child.stop();
    }
  });

  it("says what a process printed when it ends before it was ready", async () => {
    const child = spawnProcess("doomed", [process.execPath, "-e", "console.log('no luck'); process.exit(3)"]);
    await expect(child.waitFor(/ready/, 10_000)).rejects.toThrow(/ended with 3:\nno luck/);
  });

  it("binds processes to cores only where that can be done", () => {
    expect(choosePinning(1, true)).toMatchObject({ measured: [], upstream: [] });
    expect(choosePinning(4, false)).toMatchObject({ measured: [], upstream: [] });
    expect(choosePinning(2, true)).toMatchObject({
      measured: ["taskset", "-c", "0"],
      upstream: ["taskset", "-c", "1"],
    });
    expect(choosePinning(4, true).upstream).toEqual(["taskset", "-c", "2"]);
  });

  onLinux("sees what other processes take of the machine", async () => {
    const noise = watchNoise();
    const other = spawn(process.execPath, ["-e", "const t = Date.now(); while (Date.now() - t < 400);"]);
    await once(other, "exit");
    expect(noise.othersPercent(0)).toBeGreaterThan(20);
    expect(noise.othersPercent(1e12)).toBe(0);
  });
});
