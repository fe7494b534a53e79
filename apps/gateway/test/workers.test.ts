import { execFile, fork } from "node:child_process";
import { EventEmitter } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { EvictionNotice } from "@gatewright/session-pool/redis";
import { eventually } from "@gatewright/testkit";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { sharingOf } from "../src/app/sharing.ts";
import { gatewayConfig } from "../src/config/gateway-config.ts";
import type { Registry } from "../src/registry/registry.ts";
import { acceptTogether } from "../src/workers/accept-together.ts";
import type { IpcEnd } from "../src/workers/ipc-message.ts";
import { createIpcOwnership } from "../src/workers/ipc-ownership.ts";
import { shareOfLimits } from "../src/workers/share-of-limits.ts";
import { StartFailed, Supervisor, type WorkerProcess } from "../src/workers/supervisor.ts";
import { WorkerHub } from "../src/workers/worker-hub.ts";
import { createWorkerLink, type WorkerLink } from "../src/workers/worker-link.ts";

/** Two ends of a channel, as those of Node: what is sent arrives later, as a copy. */
function channel(): [IpcEnd, IpcEnd] {
  const ends = [new EventEmitter(), new EventEmitter()] as const;
  const end = (mine: EventEmitter, other: EventEmitter): IpcEnd => ({
    send: (message) => {
      const copy = structuredClone(message);
      setImmediate(() => other.emit("message", copy));
    },
    on: (event, listener) => mine.on(event, listener),
    off: (event, listener) => mine.off(event, listener),
  });
  return [end(ends[0], ends[1]), end(ends[1], ends[0])];
}

describe("what the primary keeps for its workers", () => {
  const hub = new WorkerHub();
  const links: WorkerLink[] = [];
  const detach: (() => void)[] = [];
  for (const index of [1, 2]) {
    const [worker, primary] = channel();
    detach.push(hub.attach(index, primary));
    links.push(createWorkerLink(index, 2, worker as never));
  }
  const [first, second] = links as [WorkerLink, WorkerLink];
  const evicted: [string, EvictionNotice][] = [];
  const own = (name: string, { primary: link }: WorkerLink) =>
    createIpcOwnership({
      link,
      instanceId: name,
      advertiseUrl: `http://${name}`,
      signKeys: [Buffer.alloc(32, 7)],
      maxOwned: 2,
      onEvict: (notice) => evicted.push([name, notice]),
    });
  const [a, b] = [own("a", first), own("b", second)];

  afterAll(async () => {
    await Promise.all([a.close(), b.close()]);
    for (const { primary } of links) primary.close();
  });

  it("a session has one owner, is found by all, and by its principal alone", async () => {
    await Promise.all([a.start(), b.start()]);
    expect(await a.claim("s1", "me")).toEqual({ epoch: 1 });
    await expect(b.claim("s1", "me")).rejects.toMatchObject({ code: "validation_failed" });
    expect(await a.locate("s1", "me")).toEqual({ kind: "mine", epoch: 1, certain: true });
    expect(await a.locate("s1", "you")).toEqual({ kind: "foreign" });
    expect(await b.locate("s1", "me")).toMatchObject({ kind: "remote", owner: "a", url: "http://a" });
    expect(await b.locate("s1", "you")).toEqual({ kind: "foreign" });
    expect(await b.locate("s2", "me")).toEqual({ kind: "unknown" });
    expect(await b.reclaim("s1", "me")).toEqual({ kind: "unknown" });
    expect([a.hold("s1")?.certain, b.hold("s1")]).toEqual([true, undefined]);
    expect([await b.whereIs("a"), await a.whereIs("c")]).toEqual(["http://a", undefined]);
    await a.claim("s3", "me");
    await expect(a.claim("s4", "me")).rejects.toMatchObject({ code: "overloaded" });
    await a.save("s3", []);
    await a.release("s3");
    expect(await b.locate("s3", "me")).toEqual({ kind: "unknown" });
  });

  it("a request for a session is opened by its owner once, and by nobody else", () => {
    const request = { method: "POST", path: "/internal/forward", body: "x" };
    const signed = b.sign({ owner: "a", epoch: 1 }, "s1", { ...request, payload: "who" });
    expect(b.open(signed, "s1", request)).toMatchObject({ kind: "refused" });
    expect(a.open(signed, "s1", request)).toMatchObject({ kind: "accepted", claims: { payload: "who" } });
    expect(a.open(signed, "s1", request)).toMatchObject({ kind: "refused", reason: "replayed" });
    const lost = b.sign({ owner: "a", epoch: 1 }, "gone", { ...request, payload: "who" });
    expect(a.open(lost, "gone", request)).toEqual({ kind: "misdirected" });
    const whole = b.sign({ owner: "a" }, undefined, { ...request, payload: "who" });
    expect(a.open(whole, undefined, request)).toMatchObject({ kind: "accepted" });
    expect(a.open(undefined, "s1", request)).toMatchObject({ kind: "refused", reason: "unsigned" });
    expect(a.stats()).toMatchObject({ owned: 1, envelopesRefused: { replayed: 1, unsigned: 1 } });
  });

  it("the end of a session is told to its owner, a changed upstream to all others, once", async () => {
    expect(await b.end("s1", "you")).toBe("foreign");
    expect(await b.end("s1", "me")).toBe("ended");
    expect(await b.end("s1", "me")).toBe("unknown");
    await eventually(() => evicted.length === 1);
    await b.serverChanged("u1");
    await eventually(() => evicted.length === 3);
    expect(evicted).toEqual([
      ["a", { kind: "session", sessionId: "s1" }],
      ["b", { kind: "server", serverId: "u1" }],
      ["a", { kind: "server", serverId: "u1" }],
    ]);
  });

  it("notes are forgotten with who dropped them", async () => {
    await first.notes.put("x", "1");
    expect(await second.notes.get(["x", "y"])).toEqual(["1", null]);
    await first.notes.drop("x");
    expect(await second.notes.get(["x"])).toEqual([null]);
  });

  it("worker 1 alone leads the classification, and all see what it publishes", async () => {
    const [one, two] = [first.classifierStore(), second.classifierStore()];
    expect(await two.acquire("two", 1_000, 0)).toMatchObject({ leader: false });
    const { epoch } = await one.acquire("one", 1_000, 0);
    const events: string[] = [];
    two.subscribe((event) => events.push(event));
    await two.report({
      replicaId: "two",
      seq: 1,
      ttlMs: 1_000,
      entries: [{ serverId: "u", uses: 3, ageMs: 0, active: 1, sessions: 1 }],
    });
    expect((await one.collect()).usage).toMatchObject([{ serverId: "u", totalUses: 3 }]);
    const classification = { metadata: {} as never, history: new Map() } as never;
    expect(await one.publish({ epoch, versionSeen: 0, classification, ttlMs: 1_000 })).toMatchObject({
      accepted: true,
    });
    expect((await two.read()).snapshot?.servers).toBeInstanceOf(Map);
    await eventually(() => events.includes("published"));
    const claim = {
      ...{ scope: "x", token: "t", claimMs: 1_000, pace: { intervalMs: 1_000, maxPauseMs: 1_000 } },
      known: { last: 0, failures: 0, forcedAt: 0, ttlMs: 0 },
    };
    expect((await one.claim([claim])).replies[0]?.granted).toBe(true);
    expect((await two.claim([claim], 1)).replies[0]?.granted).toBe(false);
    const ending = { kind: "done" } as never;
    await expect(two.finish([{ scope: "x", ending }])).resolves.toMatchObject({ states: [{}] });
    expect(await one.release("one")).toBe(true);
    await Promise.all([one.close(), two.close()]);
  });

  it("a database server that an operator has accepted at one worker is accepted by all", async () => {
    const accepted: string[] = [];
    const registryOf = (name: string) =>
      ({
        acceptServer: async () => void accepted.push(name),
        close: async () => undefined,
      }) as unknown as Registry;
    const one = acceptTogether(registryOf("one"), first.primary);
    const two = acceptTogether(registryOf("two"), second.primary);
    await one.acceptServer();
    await eventually(() => accepted.includes("two"));
    await Promise.all([one.close(), two.close()]);
    await second.primary.call("database", "accepted");
    expect(accepted.filter((name) => name === "two")).toEqual(["two"]);
  });

  it("a worker that ends takes its sessions with it; calls that nobody answers end in time", async () => {
    await a.claim("s5", "me");
    detach[0]?.();
    expect(await b.locate("s5", "me")).toEqual({ kind: "unknown" });
    await expect(first.primary.call("notes", "get", ["x"])).rejects.toMatchObject({
      code: "backend_unavailable",
    });
    await expect(second.primary.call("nothing", "here")).rejects.toMatchObject({
      facts: { details: { reason: "there is no nothing.here" } },
    });
    const waiting = first.primary.call("notes", "get", ["x"]);
    first.primary.close();
    await expect(waiting).rejects.toMatchObject({ code: "backend_unavailable" });
  });
});

describe("limits of a worker", () => {
  it("are its part of the whole, and at least one", () => {
    const config = {
      rules: {
        by_user: "30/m",
        by_ip: { rate: " 100 / s", burst: 50 },
        by_tool: { search: "3/h", "90/m": "100/10 s", find: "100 / 010 SEC" },
        composite: { both: { by: ["user", "tool"], rate: "9/m", burst: 1 } },
      },
      failurePolicy: "open",
      timeoutMs: 100,
    };
    expect(shareOfLimits(config, 4)).toEqual({
      rules: {
        by_user: "7/m",
        by_ip: { rate: " 25 / s", burst: 12 },
        by_tool: { search: "1/h", "90/m": "25/10 s", find: "25 / 010 SEC" },
        composite: { both: { by: ["user", "tool"], rate: "2/m", burst: 1 } },
      },
      failurePolicy: "open",
      timeoutMs: 100,
    });
  });

  it("are said to be best effort", () => {
    const of = (config: object) => sharingOf(gatewayConfig.parse(config));
    expect(of({}).guarantee).toBe("local");
    expect(of({ server: { workers: 2 } })).toEqual({ by: "workers", workers: 2, guarantee: "best-effort" });
    expect(of({ server: { workers: 2 }, redis: { url: "redis://a" } }).guarantee).toBe("shared");
  });
});

describe("a primary", () => {
  it("goes on when a worker dies between two messages to it", async () => {
    const source = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
    const folder = await mkdtemp(join(tmpdir(), "gatewright-primary-"));
    const exec = join(folder, "worker.cjs");
    await writeFile(exec, "setInterval(() => {}, 1_000); process.send('here');");
    const script = `
      import cluster from "node:cluster";
      import { forkWorker } from ${source("../src/workers/fork-worker.ts")};
      cluster.setupPrimary({ exec: ${JSON.stringify(exec)}, execArgv: [], serialization: "advanced" });
      const worker = forkWorker(1);
      worker.onExit((code, signal) => setTimeout(() => console.log("the primary saw", signal), 100));
      worker.on("message", () => {
        worker.kill("SIGKILL");
        // Nothing is heard of its end before the next turn of the loop.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
        for (let n = 0; n < 100; n++) worker.send({ n, text: "x".repeat(10_000) });
      });`;
    try {
      const args = ["--conditions=@gatewright/source", "--input-type=module", "-e", script];
      const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
      expect(stdout).toBe("the primary saw SIGKILL\n");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe("the supervisor", () => {
  let folder: string;
  let supervisor: Supervisor;
  const children = new Map<number, number>();
  const logs: string[] = [];
  const logger = pino({}, { write: (line: string) => void logs.push(line) });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "gatewright-workers-"));
  });
  afterEach(() => supervisor.stop());
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function supervise(script: string, options: object = {}): Promise<Supervisor> {
    const file = join(folder, `${Math.random()}.cjs`);
    await writeFile(
      file,
      `const listening = () => process.send({ tag: "gatewright/workers", kind: "event", name: "listening", data: "http://x" });\n${script}`,
    );
    const start = (index: number): WorkerProcess => {
      const child = fork(file, [String(index)], { serialization: "advanced", silent: true });
      children.set(index, child.pid ?? 0);
      return {
        send: (message) => child.connected && child.send(message as object),
        on: (event, listener) => child.on(event, listener),
        off: (event, listener) => child.off(event, listener),
        kill: (signal) => void child.kill(signal),
        onExit: (listener) => void child.once("exit", listener),
      };
    };
    supervisor = new Supervisor({
      count: 2,
      fork: start,
      hub: new WorkerHub(),
      logger,
      stopMs: 5_000,
      minPauseMs: 50,
      ...options,
    });
    return supervisor;
  }

  it("starts a worker again that ends, after a pause that grows", async () => {
    const running = await supervise("listening(); setInterval(() => {}, 1_000);");
    expect(await running.start()).toBe("http://x");
    for (let time = 1; time <= 3; time++) {
      const before = children.get(1);
      process.kill(before ?? 0, "SIGKILL");
      await eventually(() => children.get(1) !== before);
    }
    const pauses = logs.flatMap((line) => JSON.parse(line).pauseMs ?? []);
    expect(pauses).toEqual([50, 100, 200]);
  });

  it("kills workers that do not end in time", async () => {
    const stubborn = "process.on('SIGTERM', () => {}); listening(); setInterval(() => {}, 1_000);";
    const running = await supervise(stubborn, { stopMs: 300 });
    await running.start();
    await running.stop();
    for (const pid of children.values()) expect(() => process.kill(pid, 0)).toThrow();
  });

  it("gives up when a worker ends before it ever listened, and says its code", async () => {
    const script =
      "process.argv[2] === '1' ? setTimeout(() => process.exit(4), 50) : listening(); setInterval(() => {}, 1_000);";
    const running = await supervise(script);
    const failed = await running.start().catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(StartFailed);
    expect(failed).toMatchObject({ code: 4 });
  });
});
