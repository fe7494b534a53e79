import { startEchoServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let echo: Awaited<ReturnType<typeof startEchoServer>>;
let gateway: TestGateway;
const ids: Record<string, string> = {};

beforeAll(async () => {
  echo = await startEchoServer();
  gateway = await startTestGateway();
  for (const name of ["one", "two"]) {
    ids[name] = (await gateway.rest("POST", "/gateways", { name, url: echo.url })).body.id;
  }
  const both = { name: "second only", gatewayIds: [ids["two"]] };
  ids["virtual"] = (await gateway.rest("POST", "/servers", both)).body.id;
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await echo.close();
});

describe("a token limited to some servers, on the REST surface", () => {
  const lists = [
    "/gateways",
    "/servers",
    "/tools",
    "/prompts",
    "/resources",
    "/resources/templates",
    "/api/servers",
    "/api/gateways",
    "/api/tools",
  ];

  it("sees nothing of the others in any list", async () => {
    const token = await gateway.mint({ scopes: ["mcp"], servers: [ids["one"] ?? ""] });
    for (const path of lists) {
      const { status, body, headers } = await gateway.rest("GET", path, undefined, token);
      expect(status, path).toBe(200);
      const items = Array.isArray(body) ? body : body.items;
      for (const item of items) expect(item.gatewayId ?? item.id, path).toBe(ids["one"]);
      expect(Number(headers.get("x-total-count")), path).toBe(items.length);
    }
    const tools = await gateway.rest("GET", "/tools", undefined, token);
    const all = await gateway.rest("GET", "/tools");
    expect(tools.body.total).toBeGreaterThan(0);
    expect(all.body.total).toBe(2 * tools.body.total);
  });

  it("is refused what it names itself, and sees what is behind its virtual server", async () => {
    const token = await gateway.mint({ scopes: ["mcp"], servers: [ids["virtual"] ?? ""] });
    const get = async (path: string) => (await gateway.rest("GET", path, undefined, token)).status;
    expect(await get(`/gateways/${ids["one"]}`)).toBe(403);
    expect(await get(`/gateways/${ids["one"]}/state`)).toBe(403);
    expect(await get(`/servers/${ids["one"]}`)).toBe(403);
    expect(await get(`/servers/${ids["virtual"]}`)).toBe(200);
    expect(await get(`/gateways/${ids["two"]}`)).toBe(200);
    expect(await get(`/gateways/${ids["two"]}/state`)).toBe(200);
    const servers = await gateway.rest("GET", "/servers", undefined, token);
    expect(servers.body).toMatchObject({ total: 1, items: [{ id: ids["virtual"] }] });
    const nothing = await gateway.mint({ scopes: ["mcp"], servers: [] });
    expect((await gateway.rest("GET", "/api/tools", undefined, nothing)).body).toEqual([]);
  });

  it("does not administer, whatever its scopes", async () => {
    const token = await gateway.mint({ scopes: ["mcp", "admin"], servers: [ids["one"] ?? ""] });
    for (const [method, path] of [
      ["DELETE", `/gateways/${ids["two"]}`],
      ["GET", "/admin/sessions"],
    ] as const) {
      const { status, body } = await gateway.rest(method, path, undefined, token);
      expect(status).toBe(403);
      expect(body.error.message).toContain("limited to some servers");
    }
  });
});
