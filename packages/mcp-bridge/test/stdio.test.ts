import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import {
  createStdioUpstream,
  type StdioUpstreamOptions,
  type Upstream,
  type UpstreamMessage,
} from "../src/upstream/index.ts";
import { childPath, eventually, isAlive } from "./support/children.ts";
import { CLIENT } from "./support/raw-server.ts";

const open: Upstream[] = [];

function start(flags: readonly string[] = [], options: Partial<StdioUpstreamOptions> = {}) {
  const upstream = createStdioUpstream({
    command: process.execPath,
    args: [childPath, ...flags],
    restartBaseMs: 10,
    ...options,
  });
  open.push(upstream);
  return upstream;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((upstream) => upstream.close()));
});

describe("a stdio upstream", () => {
  it("asks for the era, does the legacy handshake and calls", async () => {
    const upstream = start();
    const session = await upstream.open(CLIENT);
    expect(session).toMatchObject({
      era: "legacy",
      protocolVersion: "2025-11-25",
      serverInfo: { name: "child" },
    });
    const answer = await session.request({ method: "echo", params: '{\n"big":12345678901234567890\n}' });
    expect(answer.bytes.toString()).toContain('"params"');
    expect(upstream.stats()).toMatchObject({ era: "legacy", sessionsOpen: 1, requestsTotal: 1 });
  });

  it("speaks the stateless revision with a child that knows it", async () => {
    const session = await start(["modern"]).open(CLIENT);
    expect(session).toMatchObject({ era: "modern", protocolVersion: "2026-07-28" });
    const answer = await session.request({ method: "echo", params: '{"a":1}' });
    expect(answer.value()).toMatchObject({
      params: { a: 1, _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } },
    });
  });

  it("takes silence for legacy", async () => {
    const session = await start(["mute"], { probeTimeoutMs: 100 }).open(CLIENT);
    expect(session.era).toBe("legacy");
  });

  it("starts a child anew that ends when it is asked for its era", async () => {
    const session = await start(["fragile"]).open(CLIENT);
    expect(session.era).toBe("legacy");
  });

  it("gives each session its own child, or all of them one", async () => {
    const own = start();
    const pids = await Promise.all(
      [own.open(CLIENT), own.open(CLIENT)].map(async (session) => pidOf(await session)),
    );
    expect(new Set(pids).size).toBe(2);
    const shared = start([], { child: "shared" });
    const [one, two] = await Promise.all([shared.open(CLIENT), shared.open(CLIENT)]);
    expect(await pidOf(one)).toBe(await pidOf(two));
    await one?.close();
    expect(await pidOf(two)).toBeGreaterThan(0);
  });

  it.each([
    { what: "a shared child", options: { child: "shared" as const }, shared: undefined },
    { what: "a session for several callers", options: {}, shared: true },
  ])("$what tells no caller what it asks, or logs, for another", async ({ options, shared }) => {
    const stderr: string[] = [];
    const upstream = start([], { ...options, onStderr: (line) => stderr.push(line) });
    const heard: string[] = [];
    const openOne = () =>
      upstream.open({ ...CLIENT, shared, onMessage: (message) => heard.push(message.method) });
    const one = await openOne();
    const other = shared === true ? one : await openOne();
    const call = async (session: typeof one, secret: string, timeoutMs?: number) => {
      const own: string[] = [];
      const params = JSON.stringify({ secret, _meta: { progressToken: secret } });
      const answer = session.request(
        { method: "confide", params },
        { ...(timeoutMs && { timeoutMs }), onMessage: ({ method }) => own.push(method) },
      );
      return { own, answered: (await answer.catch(() => undefined))?.value() };
    };
    // A call that nobody waits for any more leaves one in flight, which is not the one that asks.
    const [, left] = await Promise.all([call(one, "first", 1), call(other, "second")]);
    expect(left.own).toEqual(["notifications/progress"]);
    expect(left.answered).toMatchObject({ answer: { error: { code: -32_601 } }, answers: 2 });
    expect(new Set(heard)).toEqual(new Set(["notifications/resources/list_changed"]));
    expect(stderr.filter((line) => line.includes("notifications/message"))).toHaveLength(2);
  });

  it("a shared child's sessions hear of the resources that each of them subscribed to, as long as it wants", async () => {
    const upstream = start([], { child: "shared" });
    const open = async () => {
      const heard: unknown[] = [];
      const onMessage = ({ params }: UpstreamMessage) => heard.push(params?.["uri"]);
      return { heard, session: await upstream.open({ ...CLIENT, onMessage }) };
    };
    const [one, two, deaf] = [await open(), await open(), await open()];
    const ask = ({ session }: typeof one, method: string, uri: string) =>
      session.request({ method, params: JSON.stringify({ uri }) });
    const subscribe = async (who: typeof one, uri: string) =>
      (await ask(who, "resources/subscribe", uri)).kind;
    const unsubscribe = async (who: typeof one, uri: string) =>
      (await ask(who, "resources/unsubscribe", uri)).value();
    const seen = async () => (await deaf.session.request({ method: "subscribed" })).value()["subscribed"];

    expect(await Promise.all([subscribe(one, "x:1"), subscribe(two, "x:1"), subscribe(two, "x:2/")])).toEqual(
      ["result", "result", "result"],
    );
    expect(await subscribe(one, "x:refused")).toBe("error");
    for (const uri of ["x:1", "x:1/part", "x:12", "x:2/part", "x:refused"]) await ask(one, "update", uri);
    expect([one, two, deaf].map(({ heard }) => heard)).toEqual([
      ["x:1", "x:1/part"],
      ["x:1", "x:1/part", "x:2/part"],
      [],
    ]);

    // The server is told when the last one goes; whoever never subscribed takes it from nobody.
    const before = (await seen()) as string[];
    expect([await unsubscribe(one, "x:1"), await unsubscribe(deaf, "x:1")]).toEqual([{}, {}]);
    expect(await seen()).toEqual(before);
    await ask(one, "update", "x:1");
    expect([one.heard.length, two.heard.length]).toEqual([2, 4]);
    expect(await unsubscribe(two, "x:1")).toEqual({});
    await two.session.close();
    expect(await seen()).toEqual([...before, "unsubscribe x:1", "unsubscribe x:2/"]);
  });

  it("a shared child is shown nobody's capabilities, one of a session those of its client", async () => {
    const capabilities = { elicitation: {} };
    const shown = async (child: "session" | "shared") => {
      const session = await start([], { child }).open({ ...CLIENT, capabilities });
      return (await session.request({ method: "shown" })).value()["capabilities"];
    };
    expect(await shown("session")).toEqual(capabilities);
    expect(await shown("shared")).toEqual({});
  });

  it("passes only what was declared of our environment", async () => {
    process.env["GW_TEST_SECRET"] = "s";
    const session = await start([], { env: { EXTRA: "1" } }).open(CLIENT);
    const { env } = (await session.request({ method: "env" })).value() as { env: Record<string, string> };
    expect(env["EXTRA"]).toBe("1");
    expect(env["PATH"]).toBe(process.env["PATH"]);
    expect(env["GW_TEST_SECRET"]).toBeUndefined();
  });

  it("a session may have an environment of its own, but for a child that is shared", async () => {
    const upstream = start([], { env: { EXTRA: "1", OWN: "all" } });
    const envOf = async (env?: Record<string, string>) => {
      const session = await upstream.open({ ...CLIENT, ...(env && { env }) });
      return (await session.request({ method: "env" })).value()["env"] as Record<string, string>;
    };
    expect(await envOf({ OWN: "mine" })).toMatchObject({ EXTRA: "1", OWN: "mine" });
    expect(await envOf()).toMatchObject({ EXTRA: "1", OWN: "all" });
    const shared = start([], { child: "shared" });
    await expect(shared.open({ ...CLIENT, env: {} })).rejects.toMatchObject({ phase: "not_sent" });
  });

  it("gives the progress token of the caller back", async () => {
    const session = await start().open(CLIENT);
    const seen: UpstreamMessage[] = [];
    const answer = await session.request(
      { method: "progress", params: '{"_meta":{"progressToken":"mine"}}' },
      { onMessage: (message) => seen.push(message) },
    );
    expect(answer.value()["token"]).not.toBe("mine");
    expect(seen.map((message) => message.params)).toEqual([{ progressToken: "mine", progress: 1 }]);
  });

  it("hands on a question of the server and its answer", async () => {
    const session = await start().open(CLIENT);
    const answer = await session.request(
      { method: "ask" },
      {
        onMessage: (message) => void session.respond({ idText: '"q1"', result: `{"m":"${message.method}"}` }),
      },
    );
    expect(answer.value()).toEqual({ answer: { jsonrpc: "2.0", id: "q1", result: { m: "roots/list" } } });
  });

  it("reads batches, banners and stderr", async () => {
    const lines: string[] = [];
    const seen: string[] = [];
    const upstream = start(["banner"], { onStderr: (line) => lines.push(line) });
    const session = await upstream.open({ ...CLIENT, onMessage: (message) => seen.push(message.method) });
    expect((await session.request({ method: "batch" })).value()).toEqual({ batched: true });
    expect(seen).toEqual(["notifications/tools/list_changed"]);
    expect(lines).toContain("Welcome to the child");
    await eventually(() => lines.some((line) => line.startsWith("started")));
  });

  it("ends a child that sends a line without end", async () => {
    const session = await start([], { maxAnswerBytes: 2_000 }).open(CLIENT);
    await expect(session.request({ method: "long", params: '{"bytes":5000}' })).rejects.toMatchObject({
      code: "upstream_unreachable",
      phase: "sent_no_response",
    });
    expect(await session.closed).toMatchObject({ kind: "exited" });
  });

  it("cancels upstream when the caller gives up or time runs out", async () => {
    const session = await start().open(CLIENT);
    const controller = new AbortController();
    const hanging = session.request({ method: "hang" }, { signal: controller.signal });
    controller.abort();
    await expect(hanging).rejects.toMatchObject({ code: "aborted", phase: "sent_no_response" });
    await expect(session.request({ method: "hang" }, { timeoutMs: 20 })).rejects.toMatchObject({
      code: "upstream_timeout",
      phase: "sent_no_response",
    });
    const { cancelled } = (await session.request({ method: "cancelled" })).value() as { cancelled: number[] };
    expect(cancelled).toHaveLength(2);
    await expect(session.request({ method: "x" }, { signal: controller.signal })).rejects.toMatchObject({
      code: "aborted",
      phase: "not_sent",
    });
  });

  it("says not_sent for a command that does not exist", async () => {
    const upstream = start([], { command: "/nonexistent/program" });
    await expect(upstream.open(CLIENT)).rejects.toMatchObject({
      code: "upstream_unreachable",
      phase: "not_sent",
      networkCode: "ENOENT",
    });
  });

  it.each([
    ["an argument with a NUL", { args: ["secret\0value"] }, "ERR_INVALID_ARG_VALUE"],
    ["a folder that is none", { cwd: import.meta.filename }, "ENOTDIR"],
    ["a list of arguments that is too long", { args: ["x".repeat(3_000_000)] }, "E2BIG"],
  ])(
    "says not_sent for what the system refuses, and holds back what comes next: %s",
    async (_, wrong, networkCode) => {
      const upstream = start([], { ...wrong, restartBaseMs: 20_000 });
      const failure = await upstream.open(CLIENT).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: "upstream_unreachable", phase: "not_sent", networkCode });
      expect(inspect(failure)).not.toContain("secret");
      await expect(upstream.open(CLIENT)).rejects.toThrow("keeps ending");
    },
  );
});

describe("the end of a child", () => {
  it("killed in mid-call: an error at once, and the next session has a new child", async () => {
    const upstream = start();
    const session = await upstream.open(CLIENT);
    const pid = await pidOf(session);
    const hanging = session.request({ method: "hang" });
    const before = performance.now();
    process.kill(pid, "SIGKILL");
    await expect(hanging).rejects.toMatchObject({ code: "upstream_unreachable", phase: "sent_no_response" });
    expect(performance.now() - before).toBeLessThan(5_000);
    expect(await session.closed).toMatchObject({ kind: "exited" });
    await expect(session.request({ method: "echo" })).rejects.toMatchObject({ phase: "not_sent" });
    expect(await pidOf(await upstream.open(CLIENT))).not.toBe(pid);
  });

  it("waits longer and longer before a child that keeps ending is started again", async () => {
    const upstream = start(["fragile"], { era: "modern", restartBaseMs: 60, restartWaitMs: 100 });
    await expect(upstream.open(CLIENT)).rejects.toMatchObject({ code: "upstream_unreachable" });
    await expect(upstream.open(CLIENT)).rejects.toMatchObject({ code: "upstream_unreachable" });
    const refusal = await upstream.open(CLIENT).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ phase: "not_sent" });
    expect((refusal as { retryAfterMs: number }).retryAfterMs).toBeGreaterThan(100);
  });

  it("with an environment that fails does not wait for those with others", async () => {
    const options = { era: "modern", restartBaseMs: 10_000, restartWaitMs: 100 } as const;
    const upstream = start(["fragile"], options);
    const failing = { ...CLIENT, env: { TOKEN: "wrong" } };
    await expect(upstream.open(failing)).rejects.toMatchObject({ phase: "sent_no_response" });
    await expect(upstream.open(failing)).rejects.toMatchObject({ phase: "not_sent" });
    await expect(upstream.open({ ...CLIENT, env: { TOKEN: "other" } })).rejects.toMatchObject({
      phase: "sent_no_response",
    });
  });

  it("a stubborn child behind a shell wrapper is gone within 2 s of close", async () => {
    const lines: string[] = [];
    const upstream = start([], {
      command: "/bin/sh",
      args: ["-c", `"${process.execPath}" "${childPath}" stubborn; true`],
      onStderr: (line) => lines.push(line),
    });
    const session = await upstream.open(CLIENT);
    const pid = await pidOf(session);
    const hanging = session.request({ method: "hang" });
    const before = performance.now();
    const closing = session.close();
    await expect(hanging).rejects.toMatchObject({ code: "closed" });
    await closing;
    // The figure is measured on an idle machine; the bound is five times as much.
    expect(performance.now() - before).toBeLessThan(5 * 2_000);
    expect(await isAlive(pid)).toBe(false);
    expect(await session.closed).toEqual({ kind: "closed" });
  });

  it("a child that heeds the end of its input goes quickly", async () => {
    const session = await start([], { stopStepMs: 900 }).open(CLIENT);
    const pid = await pidOf(session);
    const before = performance.now();
    await session.close();
    expect(performance.now() - before).toBeLessThan(900);
    expect(await isAlive(pid)).toBe(false);
  });

  it("a stubborn child does not survive our own death by SIGKILL", async () => {
    const script = fileURLToPath(new URL("./support/stdio-parent.ts", import.meta.url));
    const parent = spawn(process.execPath, ["--conditions=@gatewright/source", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const pid = await new Promise<number>((resolve) => {
      parent.stdout.once("data", (chunk: Buffer) => resolve(Number(chunk.toString())));
    });
    expect(await isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    await eventually(async () => !(await isAlive(pid)), 5_000);
  });
});

async function pidOf(session: Awaited<ReturnType<Upstream["open"]>> | undefined): Promise<number> {
  const answer = await session?.request({ method: "pid" });
  return answer?.value()["pid"] as number;
}
