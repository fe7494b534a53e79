import { startEchoServer } from "@gatewright/mcp-fixtures";
import {
  eventually,
  type PostgresPair,
  type RedisServer,
  startPostgresPair,
  startRedis,
} from "@gatewright/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startTestGateway } from "./support/test-gateway.ts";

let pair: PostgresPair;
let redis: RedisServer;
let echo: Awaited<ReturnType<typeof startEchoServer>>;

beforeAll(async () => {
  [pair, redis, echo] = await Promise.all([startPostgresPair(), startRedis(), startEchoServer()]);
});
beforeEach(() => redis.stop());
afterAll(() => Promise.all([pair.close(), redis.close(), echo.close()]));

const start = (url: string) =>
  startTestGateway({
    database: { url },
    redis: { url: redis.url },
    mcpServers: { echo: { url: echo.url } },
  });
const both = () => pair.primary.url.replace(/@([^/]+)\//, `@$1,127.0.0.1:${pair.standby.port}/`);

const call = (id: unknown) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "echo_echo", arguments: { text: "x" } },
});

describe("a gateway whose Redis refuses when it starts", () => {
  it("with one PostgreSQL it is ready, reads and writes its registry, and calls upstreams", async () => {
    await using gateway = await start(pair.primary.url);
    await eventually(async () => (await gateway.rest("GET", "/health/ready")).status === 200);
    await eventually(async () => (await gateway.rpc("/mcp/http", call(1))).body.result !== undefined);
    const [echoId] = (await gateway.rest("GET", "/gateways")).body.items.map(({ id }: { id: string }) => id);
    const made = await gateway.rest("POST", "/servers", { name: "one", gatewayIds: [echoId] });
    expect(made.status).toBe(201);
    expect((await gateway.rest("GET", `/servers/${made.body.id}`)).status).toBe(200);
    expect((await gateway.rest("DELETE", `/servers/${made.body.id}`)).status).toBe(204);
    // An operator's word is taken without Redis too.
    expect((await gateway.rest("POST", "/admin/database/accept")).status).toBe(200);
    expect((await gateway.rest("POST", "/servers", { name: "two", gatewayIds: [echoId] })).status).toBe(201);
  });

  it("with one of two servers unseen it reads and calls, writes nothing, and goes by an operator's word", async () => {
    await (await start(pair.primary.url)).close();
    await pair.standby.stop();
    try {
      await using gateway = await start(both());
      await eventually(async () => (await gateway.rpc("/mcp/http", call(1))).body.result !== undefined);
      expect((await gateway.rest("GET", "/gateways")).body.total).toBe(1);
      const [echoId] = (await gateway.rest("GET", "/gateways")).body.items.map(
        ({ id }: { id: string }) => id,
      );
      const body = { name: "three", gatewayIds: [echoId] };
      const refused = await gateway.rest("POST", "/servers", body);
      expect([refused.status, refused.body.error.code]).toEqual([503, "db_fenced"]);
      expect((await gateway.rest("GET", "/health/ready")).body.checks.database.reason).toBe("fenced");
      expect((await gateway.rest("POST", "/admin/database/accept")).status).toBe(200);
      expect((await gateway.rest("POST", "/servers", body)).status).toBe(201);
      await eventually(async () => (await gateway.rest("GET", "/health/ready")).status === 200);
    } finally {
      await pair.standby.restart();
    }
  });
});
