import { startEchoServer, startEverythingServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let echo: Awaited<ReturnType<typeof startEchoServer>>;
let everything: Awaited<ReturnType<typeof startEverythingServer>>;
let gateway: TestGateway;

beforeAll(async () => {
  echo = await startEchoServer();
  everything = await startEverythingServer();
  gateway = await startTestGateway();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await echo.close();
  await everything.close();
});

describe("/gateways", () => {
  it("registers, shows, changes, refreshes and removes an upstream, without ever showing its credentials", async () => {
    const auth = { type: "bearer", token: "planted-secret" };
    const made = await gateway.rest("POST", "/gateways", {
      name: "Echo One",
      url: echo.url,
      auth,
      tags: ["a"],
    });
    expect(made.status).toBe(201);
    const { id } = made.body;
    expect(made.body).toMatchObject({
      name: "Echo One",
      slug: "echo-one",
      state: "reachable",
      hasCredentials: true,
    });
    const shown = await gateway.rest("GET", `/gateways/${id}`);
    const listed = await gateway.rest("GET", "/gateways?name=Echo%20One");
    expect(listed.body.items[0]).toEqual(shown.body);
    expect(listed.headers.get("x-total-count")).toBe("1");
    const changed = await gateway.rest("PATCH", `/gateways/${id}`, {
      name: "Echo",
      tags: ["b"],
      stateless: true,
    });
    expect(changed.body).toMatchObject({
      name: "Echo",
      slug: "echo-one",
      tags: ["b"],
      stateless: true,
      revision: 2,
    });
    expect(changed.body.hasCredentials).toBe(true);
    const forgotten = await gateway.rest("PATCH", `/gateways/${id}`, { auth: { type: "none" } });
    expect(forgotten.body.hasCredentials).toBe(false);
    const refreshed = await gateway.rest("POST", `/gateways/${id}/refresh`);
    expect(refreshed.status).toBe(200);
    const state = await gateway.rest("GET", `/gateways/${id}/state`);
    expect(state.body).toMatchObject({ id, state: "reachable", breaker: "closed" });
    expect(JSON.stringify([made, shown, listed, changed, gateway.logs])).not.toContain("planted-secret");
    const broken = await gateway.rest("PATCH", `/gateways/${id}`, { url: "http://127.0.0.1:1/mcp" });
    expect(broken.body).toMatchObject({ state: "unreachable" });
    expect((await gateway.rest("POST", `/gateways/${id}/refresh`)).status).toBe(502);
    expect((await gateway.rest("DELETE", `/gateways/${id}`)).status).toBe(204);
    expect((await gateway.rest("DELETE", `/gateways/${id}`)).status).toBe(404);
    expect((await gateway.rest("GET", `/servers/${id}`)).status).toBe(404);
  });

  it("tries /mcp when a URL has no path, and keeps what answered", async () => {
    const made = await gateway.rest("POST", "/gateways", { name: "bare", url: new URL(echo.url).origin });
    expect(made.status).toBe(201);
    expect(made.body.url).toBe(echo.url);
    await gateway.rest("DELETE", `/gateways/${made.body.id}`);
  });

  it("ends the sessions of an upstream that is removed", async () => {
    const made = await gateway.rest("POST", "/gateways", { name: "leaving", url: echo.url });
    const call = {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "leaving_echo", arguments: { text: "x" } },
    };
    expect((await gateway.rpc("/mcp/http", call)).body.result).toBeDefined();
    await gateway.rest("DELETE", `/gateways/${made.body.id}`);
    await eventually(
      async () => (await gateway.rest("GET", "/admin/sessions")).body.upstreams.sessions === 0,
    );
  });
});

describe("texts that no database takes", () => {
  it.each([
    ["POST", "/gateways", { name: "a\0b", url: "http://127.0.0.1:1/mcp" }, "body.name", "NUL"],
    [
      "POST",
      "/gateways",
      { name: "a", url: "http://127.0.0.1:1/mcp", tags: ["x", "\ud800"] },
      "body.tags.1",
      "surrogate",
    ],
    ["POST", "/gateways", { name: "a", command: "true", env: { "K\0": "v" } }, "body.env", "a key"],
    ["POST", "/servers", { name: "\udc00", gatewayIds: [] }, "body.name", "surrogate"],
    ["PATCH", "/servers/a%00b", { name: "fine" }, "path.id", "NUL"],
    ["GET", "/gateways/a%00b", undefined, "path.id", "NUL"],
  ])("are 422 that names the place: %s %s", async (method, path, body, place, what) => {
    const { status, body: answer } = await gateway.rest(method, path, body);
    expect(status, JSON.stringify(answer)).toBe(422);
    expect(answer.error).toMatchObject({ code: "validation_failed", details: { issues: [{ path: place }] } });
    expect(answer.error.message).toContain(what);
  });

  it("are found in bodies of any depth", async () => {
    const deep = `${'{"a":'.repeat(50_000)}"\\u0000"${"}".repeat(50_000)}`;
    const response = await fetch(`${gateway.url}/gateways`, {
      method: "POST",
      headers: { authorization: `Bearer ${gateway.token}`, "content-type": "application/json" },
      body: deep,
    });
    expect([response.status, await response.text()]).toEqual([422, expect.stringContaining("NUL character")]);
  });
});

describe("/servers and the catalogue", () => {
  it("makes virtual servers of some upstreams, with plain or prefixed names", async () => {
    const a = (await gateway.rest("POST", "/gateways", { name: "a", url: echo.url })).body;
    const b = (await gateway.rest("POST", "/gateways", { name: "b", url: everything.url })).body;
    const both = await gateway.rest("POST", "/servers", {
      name: "both",
      gatewayIds: [a.id, b.id],
      description: "d",
    });
    expect(both.status).toBe(201);
    const list = { jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-11-25" } };
    const opened = await gateway.rpc(both.body.endpoint, list);
    expect(opened.body.result.serverInfo.name).toBe("gatewright");
    const session = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
    const tools = await gateway.rpc(
      both.body.endpoint,
      { jsonrpc: "2.0", id: 2, method: "tools/list" },
      session,
    );
    const names = tools.body.result.tools.map((tool: { name: string }) => tool.name);
    expect(names).toContain("a_echo");
    expect(names.some((name: string) => name.startsWith("b_"))).toBe(true);
    expect((await gateway.rest("POST", "/servers", { name: "both", gatewayIds: [a.id] })).status).toBe(409);
    expect((await gateway.rest("POST", "/servers", { name: "c", gatewayIds: ["x"] })).status).toBe(422);
    const plain = { name: "p", gatewayIds: [a.id, b.id], names: "plain" };
    expect((await gateway.rest("POST", "/servers", plain)).status).toBe(422);
    const one = await gateway.rest("PATCH", `/servers/${both.body.id}`, {
      gatewayIds: [a.id],
      names: "plain",
    });
    expect(one.body).toMatchObject({ names: "plain", gatewayIds: [a.id], description: "d" });
    expect((await gateway.rest("PATCH", `/servers/${a.id}`, { name: "z" })).status).toBe(409);
    expect((await gateway.rest("DELETE", `/servers/${a.id}`)).status).toBe(409);
    expect((await gateway.rest("DELETE", `/servers/${both.body.id}`)).status).toBe(204);
    const servers = await gateway.rest("GET", "/servers?limit=1");
    expect(servers.body.items).toHaveLength(1);
    expect(servers.body.total).toBe(2);
    for (const path of ["/tools", "/prompts", "/resources", "/resources/templates"]) {
      const page = await gateway.rest("GET", `${path}?limit=2`);
      expect(page.status).toBe(200);
      expect(page.body.total).toBeGreaterThan(0);
    }
    expect((await gateway.rest("GET", "/tools?name=echo")).body.items[0].gatewayId).toBe(a.id);
    expect((await gateway.rest("GET", "/tools?limit=0")).status).toBe(422);
  });

  it("answers the /api paths with bare arrays, and keeps unreachable servers there", async () => {
    const made = await gateway.rest("POST", "/api/servers", { name: "later", url: "http://127.0.0.1:1/mcp" });
    expect(made.status).toBe(201);
    expect(made.body.state).toBe("unreachable");
    expect(
      (await gateway.rest("POST", "/api/gateways", { name: "never", url: "http://127.0.0.1:1/" })).status,
    ).toBe(502);
    for (const path of ["/api/servers", "/api/gateways", "/api/tools"]) {
      const answer = await gateway.rest("GET", path);
      expect(Array.isArray(answer.body)).toBe(true);
      expect(answer.headers.get("x-total-count")).toBe(String(answer.body.length));
    }
    const [later] = (await gateway.rest("GET", "/api/servers?name=later")).body;
    expect(later).toMatchObject({
      name: "later",
      state: "unreachable",
      endpoint: `/servers/${made.body.id}/mcp`,
    });
  });
});

describe("health, metrics and documents", () => {
  it("says what is alive without a token", async () => {
    for (const path of ["/health", "/health/live", "/health/ready", "/ready"]) {
      const answer = await fetch(`${gateway.url}${path}`);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toMatchObject({ status: "ok" });
    }
  });

  it("writes Prometheus text without names of users or URIs", async () => {
    const text = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(text).toContain("http_request_duration_seconds_bucket");
    expect(text).toContain('route="/mcp/http"');
    expect(text).toContain("gatewright_plugin_duration_seconds");
    expect(text).toContain("retry_attempts_count");
    expect(text).not.toContain("tester");
  });

  it("describes itself as OpenAPI and as a protected resource", async () => {
    const { body: document } = await gateway.rest("GET", "/openapi.json");
    expect(document.paths["/gateways/{id}"].patch.requestBody).toBeDefined();
    const metadata = await (await fetch(`${gateway.url}/.well-known/oauth-protected-resource`)).json();
    expect(metadata).toMatchObject({ resource: gateway.url, scopes_supported: ["mcp", "admin"] });
  });

  it("shows the same as a page that loads nothing from elsewhere", async () => {
    const page = await fetch(`${gateway.url}/docs`);
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'none'/);
    const text = await page.text();
    const { body: document } = await gateway.rest("GET", "/openapi.json");
    for (const path of Object.keys(document.paths)) expect(text).toContain(`<code>${path}</code>`);
    expect(text).not.toMatch(/<script|https?:\/\//);
  });
});

describe("/admin/plugins", () => {
  it("lists plugins, switches modes in this process and switches them back", async () => {
    const list = await gateway.rest("GET", "/admin/plugins");
    expect(list.body.items.map((plugin: { plugin: string }) => plugin.plugin).sort()).toEqual([
      "rate_limiter",
      "retry",
    ]);
    const path = "/admin/plugins/rate_limiter/mode";
    const report = await gateway.rest("PUT", path, { mode: "disabled", waitFor: "all" });
    expect(report.body).toMatchObject({ converged: true, previousMode: "enforce" });
    expect((await gateway.rest("GET", path)).body).toMatchObject({ mode: "disabled" });
    expect((await gateway.rest("PUT", "/admin/plugins/rate_limiter", { mode: "permissive" })).status).toBe(
      200,
    );
    expect((await gateway.rest("DELETE", path)).status).toBe(200);
    expect((await gateway.rest("GET", path)).body).toMatchObject({ mode: "enforce" });
  });

  it("names the known plugins for an unknown one, and refuses an unknown mode", async () => {
    const unknown = await gateway.rest("PUT", "/admin/plugins/rate_limitr/mode", { mode: "disabled" });
    expect(unknown.status).toBe(404);
    expect(unknown.body.error.details).toMatchObject({ nearest: "rate_limiter" });
    expect((await gateway.rest("PUT", "/admin/plugins/retry/mode", { mode: "off" })).status).toBe(422);
    const user = await gateway.mint({ scopes: ["mcp"] });
    expect((await gateway.rest("GET", "/admin/plugins", undefined, user)).status).toBe(403);
  });
});
