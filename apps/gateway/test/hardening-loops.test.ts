import { startEchoServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hopHeader } from "../src/upstreams/hop.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let echo: Awaited<ReturnType<typeof startEchoServer>>;
let one: TestGateway;
let two: TestGateway;

beforeAll(async () => {
  echo = await startEchoServer();
  one = await startTestGateway();
  two = await startTestGateway();
});

afterAll(async () => {
  await one[Symbol.asyncDispose]();
  await two[Symbol.asyncDispose]();
  await echo.close();
});

const upstream = (gateway: TestGateway, name: string, path = "/mcp") => ({
  name,
  url: `${gateway.url}${path}`,
  auth: { type: "bearer", token: gateway.token },
});

describe("gateways behind gateways", () => {
  it("a gateway is not registered with itself, with or without a token, under any name of its host", async () => {
    for (const path of ["/gateways", "/api/servers"]) {
      for (const url of [`${one.url}/mcp`, one.url, `${one.url.replace("127.0.0.1", "localhost")}/mcp`]) {
        const { status, body } = await one.rest("POST", path, { name: "self", url });
        expect(status, url).toBe(422);
        expect(body.error.message).toContain("leads back to this gateway");
      }
    }
    expect((await one.rest("POST", "/gateways", upstream(one, "self"))).status).toBe(422);
    expect((await one.rest("GET", "/gateways")).body.total).toBe(0);
  });

  it("answers a request that has come through it before with a JSON-RPC error that says so", async () => {
    const body = { jsonrpc: "2.0", id: 7, method: "tools/list" };
    const hops = `other, ${one.core.calls.hopId}`;
    const { body: answer } = await one.rpc("/mcp/http", body, { [hopHeader]: hops });
    expect(answer).toMatchObject({ id: 7, error: { code: -31007, data: { code: "loop_detected" } } });
    const foreign = await one.rpc("/mcp/http", body, { [hopHeader]: "other" });
    expect(foreign.body.result).toBeDefined();
  });

  it("two that list each other keep catalogues that do not grow, and a call between them ends", async () => {
    expect((await two.rest("POST", "/gateways", { name: "echo", url: echo.url })).status).toBe(201);
    const own = (await two.rest("GET", "/tools")).body.total;
    expect((await one.rest("POST", "/gateways", upstream(two, "two"))).status).toBe(201);
    expect((await two.rest("POST", "/gateways", upstream(one, "one"))).status).toBe(201);
    for (let round = 0; round < 3; round++) {
      for (const [gateway, name] of [
        [one, "two"],
        [two, "one"],
      ] as const) {
        expect((await gateway.rest("POST", `/gateways/${await gateway.idOf(name)}/refresh`)).status).toBe(
          200,
        );
      }
    }
    expect((await one.rest("GET", "/tools")).body.total).toBe(own);
    expect((await two.rest("GET", "/tools")).body.total).toBe(own);
    const call = {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "two_echo_echo", arguments: { text: "x" } },
    };
    expect((await one.rpc("/mcp/http", call)).body.result).toBeDefined();
    // Asked of a gateway that is behind the one that asks: refused by the first that sees it again.
    const id = await two.idOf("one");
    const circle = await two.rpc(`/servers/${id}/mcp`, call, { [hopHeader]: one.core.calls.hopId });
    expect(JSON.stringify(circle.body)).not.toContain('"result"');
  });

  it("an upstream that offers more than the limit is refused with the name of the limit", async () => {
    await using small = await startTestGateway({ limits: { itemsPerUpstream: 1 } });
    const { status, body } = await small.rest("POST", "/gateways", { name: "echo", url: echo.url });
    expect(status).toBe(502);
    expect(body.error.message).toContain("limits.itemsPerUpstream");
  });
});
