import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** A plugin as an operator writes one: what it does is asked for by headers of the request. */
const source = `
const seen = [];
export default {
  name: "doorman",
  version: "1.0.0",
  description: "Watches the door.",
  hooks: {
    http_pre_request: {}, http_post_request: {}, http_auth_resolve_user: {}, http_auth_check_permission: {},
  },
  create: () => ({
    stats: () => seen,
    hooks: {
      http_pre_request: ({ path, method, client, headers }, { state }) => {
        state.set("path", path);
        seen.push(["pre", method, path, client]);
        if (headers["x-stop"] !== undefined) {
          return { block: { reason: "stopped", description: "not today", code: "stopped", httpStatus: 403, headers: { "x-why": "doorman" } } };
        }
        if (headers["x-swap"] === undefined) return { headers: { "x-seen": "yes" } };
        return { modify: { path, method, client, headers: { ...headers, authorization: "Bearer " + headers["x-swap"] } } };
      },
      http_post_request: (payload, { state }) => {
        seen.push(["post", payload.statusCode, state.get("path")]);
        const responseHeaders = { ...payload.responseHeaders, "x-status": String(payload.statusCode) };
        return { modify: { ...payload, responseHeaders } };
      },
      http_auth_resolve_user: async ({ headers }) => {
        const user = headers["x-user"];
        if (user === "half") return { modify: { headers, user: { sub: "a\\ud800" } } };
        if (user === "half-tenant") return { modify: { headers, user: { sub: "a", tenant: "a\\ud800" } } };
        return user === undefined ? undefined : { modify: { headers, user: { sub: user, scopes: ["mcp"] } } };
      },
      http_auth_check_permission: ({ user, permission, resource }) => {
        seen.push(["check", user.sub, permission, resource]);
        if (user.sub === "promoted") return { modify: { user, permission, resource, granted: true } };
        if (user.sub === "vague") return { modify: { user, permission, resource, granted: "no" } };
        if (user.sub === "banned") return { modify: { user, permission, resource, granted: false } };
      },
    },
  }),
};
`;

let folder: string;
let server: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-plugin-"));
  const module = join(folder, "doorman.mjs");
  await writeFile(module, source);
  server = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { up: { url: server.url } },
    plugins: [{ name: "doorman", module }],
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
  await rm(folder, { recursive: true });
});

const ping = { jsonrpc: "2.0", id: 7, method: "ping" };
const seen = () =>
  gateway.core.pipeline.list().find(({ plugin }) => plugin === "doorman")?.stats as unknown[][];
const get = (path: string, headers: Record<string, string>) => fetch(`${gateway.url}${path}`, { headers });

describe("hooks of every request", () => {
  it.each(["/mcp/http", "/health", "/gateways", "/nowhere"])("%s is seen before and after", async (path) => {
    const before = seen().length;
    const answer = await get(path, { authorization: `Bearer ${gateway.token}` });
    const mine = seen().slice(before);
    expect(mine[0]).toEqual(["pre", "GET", path, "127.0.0.1"]);
    expect(mine.at(-1)).toEqual(["post", answer.status, path]);
    expect(answer.headers.get("x-seen")).toBe("yes");
    expect(answer.headers.get("x-status")).toBe(String(answer.status));
  });

  it("a refusal is answered in the form of the surface, and nothing else is done", async () => {
    const mcp = await gateway.rpc("/mcp/http", ping, { "x-stop": "1" });
    expect(mcp.status).toBe(403);
    expect(mcp.headers.get("x-why")).toBe("doorman");
    expect(mcp.body).toMatchObject({ jsonrpc: "2.0", id: null, error: { data: { code: "stopped" } } });
    const rest = await get("/gateways", { authorization: `Bearer ${gateway.token}`, "x-stop": "1" });
    expect(rest.status).toBe(403);
    expect(await rest.json()).toMatchObject({
      error: { code: "stopped", message: "not today", requestId: expect.any(String) },
    });
  });

  it("changed headers are those that everything behind sees", async () => {
    const answer = await get("/gateways", { "x-swap": gateway.token });
    expect(answer.status).toBe(200);
  });

  it("a call's answer keeps its body and gets the plugin's headers", async () => {
    const answer = await gateway.rpc("/mcp/http", {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "up_read", arguments: {} },
    });
    expect(answer.body).toMatchObject({ id: 1, result: { content: [{ text: "done" }] } });
    expect(answer.headers.get("x-status")).toBe("200");
  });
});

describe("hooks of authentication", () => {
  const as = (user: string) => ({ "x-user": user, "content-type": "application/json" });
  const post = (headers: Record<string, string>) =>
    fetch(`${gateway.url}/mcp/http`, { method: "POST", headers, body: JSON.stringify(ping) });

  it("a plugin says who it is, without a token", async () => {
    expect((await post(as("carol"))).status).toBe(200);
    expect((await post({ "content-type": "application/json" })).status).toBe(401);
    expect((await get("/gateways", as("carol"))).status).toBe(200);
  });

  it.each(["half", "half-tenant", ""])("a name that is none is the plugin's failure: %j", async (user) => {
    const answer = await get("/gateways", as(user));
    expect(await answer.json()).toMatchObject({ error: { code: "plugin_error" } });
  });

  it("scopes count for a named user, too", async () => {
    const answer = await get("/admin/plugins", as("carol"));
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ error: { code: "forbidden" } });
  });

  it("a plugin has the last word on what they may do", async () => {
    expect((await get("/admin/plugins", as("promoted"))).status).toBe(200);
    const banned = await post(as("banned"));
    expect(banned.status).toBe(403);
    expect(await banned.json()).toMatchObject({ error: { data: { code: "forbidden" } } });
    expect(seen()).toContainEqual(["check", "banned", "mcp", "/mcp/http"]);
  });

  it("a grant is a plain yes, and does not lift a token's limit to some servers", async () => {
    const token = await gateway.mint({ user: "promoted", scopes: ["mcp"], servers: ["up"] });
    const limited = await get("/admin/plugins", { authorization: `Bearer ${token}` });
    expect(limited.status).toBe(403);
    expect(await limited.json()).toMatchObject({ error: { message: expect.stringContaining("limited") } });
    expect((await get("/admin/plugins", as("vague"))).status).toBe(403);
  });

  it("a WebSocket passes the same door", async () => {
    const open = (headers: Record<string, string>) =>
      new Promise<number>((resolve, reject) => {
        const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/ws`, { headers });
        socket.once("open", () => {
          socket.terminate();
          resolve(101);
        });
        socket.once("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
        socket.once("error", reject);
      });
    expect(await open({ "x-user": "dave" })).toBe(101);
    expect(await open({ "x-user": "dave", "x-stop": "1" })).toBe(403);
    expect(await open({})).toBe(401);
  });
});
