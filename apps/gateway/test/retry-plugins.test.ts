import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFlakyServer } from "@gatewright/mcp-fixtures";
import { afterEach, describe, expect, it } from "vitest";
import { reset, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

const body = { jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "up_read", arguments: {} } };

async function site(config: Record<string, unknown>) {
  const server = await startScriptedServer();
  open.push(server);
  const gateway = await startTestGateway({
    mcpServers: { up: { url: server.url, trusted: true } },
    ...config,
  });
  open.push(gateway);
  await gateway.core.refresher.ready();
  const call = (tool = "read") =>
    gateway.rpc("/mcp/http", { ...body, params: { ...body.params, name: `up_${tool}` } });
  return { server, call };
}

const counting = `let pre = 0, post = 0;
export default {
  name: "own", version: "1.0.0", description: "wants a longer wait",
  hooks: { tool_pre_invoke: {}, tool_post_invoke: { reads: "outcome" } },
  create: () => ({
    hooks: {
      tool_pre_invoke: () => ({ headers: { "x-pre": String(++pre) } }),
      tool_post_invoke: ({ attempt }) => ({
        headers: { "x-post": String(++post) },
        ...(attempt === 1 && { retryDelayMs: 300 }),
      }),
    },
  }),
};
`;

describe("the loop and other plugins", () => {
  it("hooks before a call run once, those after it for each attempt; the largest wait wins", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gatewright-retry-plugins-"));
    open.push({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
    const module = join(folder, "own.mjs");
    await writeFile(module, counting);
    const retry = { name: "retry", config: { baseMs: 1, maxMs: 1 } };
    const { server, call } = await site({ plugins: [retry, { name: "own", module }] });
    server.script("tools/call", { status: 503 }, { result: { content: [] } });
    const answer = await call();
    expect(answer.body.result).toBeDefined();
    expect(answer.headers.get("x-pre")).toBe("1");
    expect(answer.headers.get("x-post")).toBe("2");
    const [first, second] = server.seen("tools/call");
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(290);
  });

  it.each([
    { title: "an answer", step: { result: { isError: true, content: [] } }, mode: "enforce" },
    { title: "a lost connection", step: reset, mode: "enforce" },
    { title: "a lost connection, with `retry` switched off", step: reset, mode: "disabled" },
  ])("RB-10 no plugin has a tool without hints executed twice: $title", async ({ step, mode }) => {
    const folder = await mkdtemp(join(tmpdir(), "gatewright-retry-plugins-"));
    open.push({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
    const module = join(folder, "own.mjs");
    await writeFile(module, counting);
    const retry = { name: "retry", mode, config: { baseMs: 1, maxMs: 1 } };
    const { server, call } = await site({ plugins: [retry, { name: "own", module }] });
    server.script("tools/call", step, { status: 503 }, { result: { content: [] } });
    const { body, headers } = await call("write");
    expect(body.error?.data.reason ?? headers.get("x-gatewright-give-up")).toBe("unsafe_to_repeat");
    expect(server.seen("tools/call")).toHaveLength(1);
    // What was refused was not executed.
    server.script("tools/call", { status: 503 }, { result: { content: [] } });
    expect((await call("write")).body.result).toBeDefined();
  });

  it("RB-7 whichever plugin asks for an attempt, the budget pays for it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gatewright-retry-plugins-"));
    open.push({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
    const module = join(folder, "own.mjs");
    await writeFile(module, counting);
    const retry = { name: "retry", config: { maxRetries: 0 } };
    const { server, call } = await site({
      plugins: [retry, { name: "own", module }],
      retry: { budget: { ratio: 0.5, floorPerSecond: 0, burst: 1 } },
    });
    server.script("tools/call", { status: 503 });
    const reasons = [];
    for (let i = 0; i < 4; i++) reasons.push((await call()).body.error.data.reason);
    expect(reasons).toEqual(["budget_exhausted", "max_retries", "budget_exhausted", "max_retries"]);
    expect(server.seen("tools/call")).toHaveLength(6);
    // A success that a plugin is not content with costs the same.
    server.script("tools/call", { result: { content: [] } });
    expect((await call()).headers.get("x-gatewright-give-up")).toBe("budget_exhausted");
    expect((await call()).headers.get("x-gatewright-attempts")).toBe("2");
  });

  it("an open breaker ends the repeats, and the caller is told", async () => {
    const server = await startFlakyServer({ era: "legacy", share: 0 });
    open.push(server);
    const gateway = await startTestGateway({
      mcpServers: { up: { url: server.url, trusted: true } },
      plugins: [{ name: "retry", config: { baseMs: 1, maxMs: 1, maxRetries: 3 } }],
      sessions: { breakerFailures: 1 },
    });
    open.push(gateway);
    await gateway.core.refresher.ready();
    await server.close();
    const { data } = (await gateway.rpc("/mcp/http", body)).body.error;
    expect(data).toMatchObject({ code: "upstream_unreachable", reason: "circuit_open" });
    expect(data).not.toHaveProperty("attempts");
  });
});
