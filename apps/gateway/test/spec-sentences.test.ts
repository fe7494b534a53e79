import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { demoLines } from "../src/cli/demo.ts";
import { processIo } from "../src/cli/process-io.ts";
import { ConfigError } from "../src/config/config-error.ts";
import { loadConfig } from "../src/config/load-config.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { gatewayClient, startTestGateway } from "./support/test-gateway.ts";

let plugin: ScriptedServer;
let upstream: ScriptedServer;

beforeAll(async () => {
  [plugin, upstream] = await Promise.all([startScriptedServer(), startScriptedServer()]);
});
afterAll(() => Promise.all([plugin.close(), upstream.close()]));

describe("what is said of the gateway", () => {
  it("every tool, prompt and resource call passes the plugins, before and after, on merged and plain endpoints", async () => {
    const hooks = ["tool_pre_invoke", "tool_post_invoke", "prompt_pre_fetch"];
    hooks.push("prompt_post_fetch", "resource_pre_fetch", "resource_post_fetch");
    plugin.script("tools/call", { result: { content: [], structuredContent: {} } });
    await using gateway = await startTestGateway({
      mcpServers: { up: { url: upstream.url } },
      plugins: [
        {
          name: "seer",
          mcp: { url: plugin.url, hooks: Object.fromEntries(hooks.map((hook) => [hook, {}])) },
        },
      ],
    });
    await gateway.core.refresher.ready();
    const id = await gateway.idOf("up");
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "t", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const plain = [
      ["tools/call", { name: "read", arguments: {} }, "read"],
      ["prompts/get", { name: "greet" }, "greet"],
      ["resources/read", { uri: "res://a" }, "res://a"],
    ] as const;
    const merged = [
      ["tools/call", { name: "up_read", arguments: {} }],
      ["prompts/get", { name: "up_greet" }],
      ["resources/read", { uri: "up+res://a" }],
    ] as const;
    const seen = () => plugin.seen("tools/call").map(({ params }) => params.arguments.hook as string);
    for (const [method, params] of merged) {
      const { body } = await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 1, method, params });
      expect(body.error).toBeUndefined();
    }
    expect(seen()).toEqual(hooks);
    for (const [method, params, name] of plain) {
      const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": method, "mcp-name": name };
      const body = { jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } };
      expect((await gateway.rpc(`/servers/${id}/mcp`, body, headers)).status).toBe(200);
    }
    expect(seen()).toEqual([...hooks, ...hooks]);
  });

  it("probes and metrics need a token when that is configured", async () => {
    await using gateway = await startTestGateway({ auth: { protectHealth: true } });
    const paths = ["/health", "/health/live", "/health/ready", "/ready", "/metrics"];
    for (const path of paths) {
      expect((await fetch(`${gateway.url}${path}`)).status).toBe(401);
      expect((await gateway.rest("GET", path)).status).toBe(200);
    }
  });

  it("lists of REST come from the database, never from the snapshot: what another replica wrote is there at once", async () => {
    // Its snapshot follows when this test is over.
    const late = { database: { pollMs: 600_000 } };
    await using first = await startTestGateway(late);
    await using second = await startTestGateway(late, first);
    const made = await first.rest("POST", "/gateways", { name: "new", url: upstream.url });
    expect(made.status).toBe(201);
    expect(second.core.snapshots.current?.upstreams.size).toBe(0);
    const { id, url } = made.body;
    for (const path of ["/gateways", "/servers", "/tools", "/prompts", "/resources"]) {
      expect((await second.rest("GET", path)).body.total, path).toBeGreaterThan(0);
    }
    const listed = { id, name: "new", state: "reachable", url };
    expect((await second.rest("GET", "/api/gateways")).body).toMatchObject([listed]);
    expect((await second.rest("GET", "/api/servers")).body).toMatchObject([listed]);
    expect((await second.rest("GET", "/api/servers?name=old")).body).toEqual([]);
    expect((await second.rest("GET", "/api/tools?name=read")).body).toMatchObject([{ gatewayId: id }]);
  });

  it("private addresses may be upstreams where the gateway listens on loopback, elsewhere only when that is said", async () => {
    const register = async (server: Record<string, unknown>) => {
      await using gateway = await startTestGateway({ server });
      const { port } = new URL(gateway.url);
      const { status, body } = await gatewayClient(`http://127.0.0.1:${port}`, gateway.token).rest(
        "POST",
        "/gateways",
        { name: "private", url: upstream.url },
      );
      return status === 201 ? status : [status, body.error.code];
    };
    expect(await register({})).toBe(201);
    expect(await register({ host: "0.0.0.0" })).toEqual([422, "validation_failed"]);
    expect(await register({ host: "0.0.0.0", ssrf: { allowPrivate: true } })).toBe(201);
    expect(await register({ ssrf: { allowPrivate: false } })).toEqual([422, "validation_failed"]);
  });

  it("more than one worker is refused with SQLite, in a sentence", async () => {
    const error = await loadConfig({ env: { WORKERS: "2" } }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).message).toBe(
      "server.workers: more than one worker needs a PostgreSQL registry, and this one is SQLite (environment WORKERS)",
    );
    const postgres = { WORKERS: "2", DATABASE_URL: "postgres://a,b/db" };
    expect((await loadConfig({ env: postgres })).server.workers).toBe(2);
  });

  it("the demo's token is said to have both scopes, and without auth there is none", () => {
    expect(demoLines("http://h", "t").join("\n")).toContain("scopes mcp and admin): t");
    expect(demoLines("http://h", undefined).join("\n")).not.toContain("Bearer");
  });

  it("SIGHUP is for those who want to hear of it, else it stops the process", async () => {
    const signals = ["SIGHUP", "SIGTERM", "SIGINT"] as const;
    const before = signals.map((signal) => process.listeners(signal));
    const io = processIo();
    let stopped = false;
    const stopping = io.stopped().then(() => {
      stopped = true;
    });
    let heard = 0;
    const forget = io.onHangUp?.(() => {
      heard++;
    });
    process.emit("SIGHUP", "SIGHUP");
    await Promise.resolve();
    expect([heard, stopped]).toEqual([1, false]);
    forget?.();
    process.emit("SIGHUP", "SIGHUP");
    await stopping;
    expect(heard).toBe(1);
    for (const [index, signal] of signals.entries()) {
      for (const listener of process.listeners(signal)) {
        if (!before[index]?.includes(listener)) process.off(signal, listener);
      }
    }
  });
});
