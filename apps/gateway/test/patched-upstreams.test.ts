import { startEchoServer } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mcpServersConfig } from "../src/config/mcp-servers.ts";
import { startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let gateway: TestGateway;
let echo: Awaited<ReturnType<typeof startEchoServer>>;
let path: string;

beforeAll(async () => {
  [gateway, echo] = await Promise.all([startTestGateway(), startEchoServer()]);
  const made = await gateway.rest("POST", "/gateways", { name: "up", url: echo.url });
  path = `/gateways/${made.body.id}`;
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await echo.close();
});

/** Where an answer says that something is wrong. */
const refusedAt = ({ status, body }: { status: number; body: { error?: { details?: object } } }) => {
  const { details } = body.error ?? {};
  const { path: own, issues } = (details ?? {}) as { path?: string; issues?: { path: string }[] };
  return `${status} ${own ?? issues?.map((issue) => issue.path).join()}`;
};
/** Where both ways of writing an upstream refuse one. */
const bothRefuse = async (body: object) => [
  refusedAt(await gateway.rest("POST", "/gateways", { name: "new", ...body })),
  refusedAt(await gateway.rest("PATCH", path, body)),
];

describe("a change of an upstream", () => {
  it("is of its transport too, which every view shows", async () => {
    for (const [given, shown] of [
      [{ transport: "sse" }, "sse"],
      [{ name: "up" }, "sse"],
      [{ type: "streamable-http" }, "http"],
      [{ transport: "sse" }, "sse"],
      // At another place it is found out again.
      [{ url: echo.url }, "http"],
    ] as const) {
      expect((await gateway.rest("PATCH", path, given)).body.transport).toBe(shown);
      expect((await gateway.rest("GET", path)).body.transport).toBe(shown);
      expect((await gateway.rest("GET", "/api/servers?name=up")).body[0].transport).toBe(shown);
    }
  });

  it("is refused where it says two things that exclude each other, and where registering it is", async () => {
    expect(await bothRefuse({ command: "x", url: echo.url })).toEqual(["422 body.url", "422 body.url"]);
    expect(await bothRefuse({ url: echo.url, transport: "stdio" })).toEqual(
      Array(2).fill("422 body.transport"),
    );
    expect(await bothRefuse({ command: "x", type: "sse" })).toEqual(Array(2).fill("422 body.type"));
    expect(refusedAt(await gateway.rest("PATCH", path, { transport: "stdio" }))).toBe("422 body.transport");
    // What a configuration file keeps without using it cannot be registered.
    expect(await bothRefuse({ url: echo.url, disabled: true })).toEqual(Array(2).fill("422 body.disabled"));
    expect((await gateway.rest("PATCH", path, { disabled: false })).status).toBe(200);
  });
});

it("an upstream that moves while it is listed is listed again where it is then", async () => {
  await using before = await startScriptedServer();
  await using after = await startScriptedServer();
  after.script("tools/list", { result: { tools: [{ name: "moved", inputSchema: { type: "object" } }] } });
  const made = await gateway.rest("POST", "/gateways", { name: "moving", url: before.url });
  const own = `/gateways/${made.body.id}`;
  const held = Promise.withResolvers<() => void>();
  const nothing = { result: { tools: [] } };
  before.script("tools/list", (_, send) => held.resolve(() => send(nothing.result)), nothing);
  const listing = gateway.rest("POST", `${own}/refresh`);
  const answer = await held.promise;
  const moved = gateway.rest("PATCH", own, { url: after.url });
  await eventually(
    async () => (await gateway.core.registry.upstream(made.body.id)).definition.url === after.url,
  );
  answer();
  await listing;
  expect((await moved).body).toMatchObject({ url: after.url, state: "reachable" });
  expect((await gateway.rest("GET", "/tools?name=moved")).body.total).toBe(1);
});

describe("a header that cannot be sent", () => {
  const broken = ["a\r\nb: c", "a\nb", "\u0000", "€"];

  it("is refused by its place, in its name or its value, and never shown", async () => {
    for (const value of broken) {
      for (const body of [
        { headers: { "x-key": value } },
        { auth: { type: "bearer", token: value } },
        { auth: { type: "headers", headers: { "x-key": value } } },
        { auth: { type: "per_user", users: { bob: { type: "bearer", token: value } } } },
      ]) {
        for (const answer of await bothRefuse({ url: echo.url, ...body }))
          expect(answer).toMatch(/^422 body\./);
        expect(mcpServersConfig.safeParse({ up: { url: echo.url, ...body } }).success).toBe(false);
      }
    }
    for (const name of [
      ...["content-length", "Transfer-Encoding", "upgrade", "expect", "Connection", "keep-alive"],
      ...["te", "trailer", "a b", "a\nb"],
    ]) {
      const body = { headers: { [name]: "1" } };
      for (const answer of await bothRefuse({ url: echo.url, ...body }))
        expect(answer).toMatch(/^422 body\.headers/);
      expect(mcpServersConfig.safeParse({ up: { url: echo.url, ...body } }).success).toBe(false);
    }
    expect(await bothRefuse({ url: echo.url, passthroughHeaders: ["Content-Length"] })).toEqual(
      Array(2).fill("422 body.passthroughHeaders.0"),
    );
    const expecting = await gateway.rest("PATCH", path, { headers: { expect: "x" } });
    expect(expecting.body.error.message).toBe("body.headers.expect: is set by the connection itself");
    const secret = await gateway.rest("PATCH", path, { headers: { "x-key": "planted-secret\n" } });
    expect(JSON.stringify(secret.body)).not.toContain("planted-secret");
  });

  it("is not what a tab, an empty value or Latin-1 is", async () => {
    const headers = { "x-tab": "a\tb", "x-empty": "", "x-name": "Zoë" };
    expect((await gateway.rest("PATCH", path, { headers })).body).toMatchObject({ state: "reachable" });
  });
});
