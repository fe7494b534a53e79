import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fixtureCommand, isAlive } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { descendants } from "./support/processes.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let gateway: TestGateway;
const folder = mkdtempSync(join(tmpdir(), "gatewright-stdio-"));

beforeAll(async () => {
  gateway = await startTestGateway({
    mcpServers: {
      echo: fixtureCommand("echo-stdio"),
      shared: { ...fixtureCommand("counter-stdio"), child: "shared" },
      slow: fixtureCommand("slow-stdio"),
      crash: fixtureCommand("crash-stdio"),
    },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const call = (name: string, args: unknown = {}) => ({
  jsonrpc: "2.0",
  id: 1,
  method: "tools/call",
  params: { name, arguments: args },
});

describe("upstreams that are programs", () => {
  it("are listed and called", async () => {
    const answer = await gateway.rpc("/mcp/http", call("echo_echo", { text: "over a pipe" }));
    expect(JSON.stringify(answer.body.result)).toContain("over a pipe");
  });

  it("say what they have to say on stderr in the gateway's log, under their name", async () => {
    const args = ["-e", "console.error('a word on stderr')"];
    await using noisy = await startTestGateway({
      mcpServers: { noisy: { command: process.execPath, args } },
    });
    const lines = () => noisy.logs.map((line) => JSON.parse(line) as { upstream?: string; line?: string });
    await eventually(() => lines().some(({ line }) => line === "a word on stderr"));
    expect(lines().find(({ line }) => line === "a word on stderr")?.upstream).toBe("noisy");
  });

  it("declared shared, one child serves every caller", async () => {
    const other = { authorization: `Bearer ${await gateway.mint({ user: "other" })}` };
    await gateway.rpc("/mcp/http", call("shared_add", { amount: 2 }));
    await gateway.rpc("/mcp/http", call("shared_add", { amount: 3 }), other);
    const read = await gateway.rpc("/mcp/http", call("shared_read"), other);
    expect(read.body.result.structuredContent.value).toBe(5);
  });

  it("not declared shared, one child serves one principal, also where it speaks a revision without sessions", async () => {
    const own = { ...fixtureCommand("counter-stdio"), env: { FIXTURE_ERA: "modern" } };
    await using alone = await startTestGateway({ mcpServers: { own } });
    await alone.core.refresher.ready();
    const id = await alone.idOf("own");
    expect(alone.core.snapshots.current?.upstreams.get(id)?.self?.era).toBe("modern");
    const other = { authorization: `Bearer ${await alone.mint({ user: "other" })}` };
    const add = async (amount: number, headers = {}) => {
      const { body } = await alone.rpc("/mcp/http", call("own_add", { amount }), headers);
      return body.result.structuredContent;
    };
    const [mine, theirs] = await Promise.all([add(2), add(3, other)]);
    expect([mine.value, theirs.value]).toEqual([2, 3]);
    expect(mine.session).not.toBe(theirs.session);
    expect(await add(1)).toEqual({ value: 3, session: mine.session });
    expect(await add(1, other)).toEqual({ value: 4, session: theirs.session });
  });

  it("are started before the first call without a session, where it is known who will call", async () => {
    const pids = join(folder, "pids");
    const { command, args } = fixtureCommand("counter-stdio");
    const own = { command, args, env: { FIXTURE_PID_FILE: pids } };
    await using open = await startTestGateway({ auth: { required: false }, mcpServers: { own } });
    // One was asked what it offers, and ended; the other waits for calls.
    const started = () => readFileSync(pids, "utf8").trim().split("\n");
    await eventually(() => started().length === 2 && open.core.pool.stats().sessions === 1);
    const answer = await open.rpc("/mcp/http", call("own_add", { amount: 1 }), { authorization: "" });
    expect(answer.body.result.structuredContent.value).toBe(1);
    expect(started()).toHaveLength(2);
    expect(open.core.pool.stats()).toMatchObject({ sessions: 1 });
  });

  it("killed in mid-call, the call fails within a second and the next one finds a new child", async () => {
    const startedMs = performance.now();
    const answer = await gateway.rpc("/mcp/http", call("crash_crash"));
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      jsonrpc: "2.0",
      id: 1,
      error: { code: -31004, data: { code: "outcome_unknown" } },
    });
    const next = await eventually(async () => {
      const after = await gateway.rpc("/mcp/http", call("crash_echo", { text: "back" }));
      return after.body.result !== undefined && after;
    });
    expect(JSON.stringify(next.body.result)).toContain("back");
  });

  it("a program that cannot be started is unreachable, with its reason", async () => {
    const answer = await gateway.rest("POST", "/gateways", { name: "missing", command: "/no/such/program" });
    expect(answer.status).toBe(502);
    expect(answer.body.error.message).toContain("missing");
  });

  it("one that ignores end of input and SIGTERM, behind a shell, is gone within 2 s of its removal", async () => {
    const wrapper = fixtureCommand("stubborn-wrapper");
    const made = await gateway.rest("POST", "/gateways", { name: "stubborn", ...wrapper });
    expect(made.status).toBe(201);
    const answer = await gateway.rpc("/mcp/http", call("stubborn_echo", { text: "alive" }));
    expect(JSON.stringify(answer.body.result)).toContain("alive");
    const pids = await descendants(process.pid, "stubborn");
    expect(pids.length).toBeGreaterThanOrEqual(2);
    const startedMs = performance.now();
    await gateway.rest("DELETE", `/gateways/${made.body.id}`);
    await eventually(() => pids.every((pid) => !isAlive(pid)), { timeoutMs: 10_000 });
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });
});
