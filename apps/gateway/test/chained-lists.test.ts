import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hopHeader } from "../src/upstreams/hop.ts";
import { modern } from "./support/modern-client.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** All are the same server, so that a merged list asks it so many times. */
const names = Array.from({ length: 10 }, (_, index) => `up${index}`);
let server: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  server = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: Object.fromEntries(names.map((upstream) => [upstream, { url: server.url }])),
    bridge: { listFreshMs: 60_000 },
    classifier: { enabled: false, refreshIntervalSeconds: 86_400 },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

const asked = () => server.seen("tools/list").length / names.length;
const list = async (chain?: string, method = "tools/list") => {
  const headers = chain === undefined ? {} : { [hopHeader]: chain };
  return (await modern(gateway, { path: "/mcp", method, headers })).body.result;
};
const name = (index: number) => index.toString(16).padStart(16, "0");

describe("lists that are asked for through other gateways", () => {
  it("are those of everybody else where the chain names no gateway", async () => {
    await list();
    const before = asked();
    for (let count = 0; count < 20; count++) {
      const { tools } = await list(`made-up-${count}, ${"f".repeat(17)}, <script>`);
      expect(tools[0]).not.toHaveProperty("_meta");
    }
    expect(asked()).toBe(before);
  });

  it("are asked for anew for another chain, and used again for the same one, in whatever order it is told", async () => {
    const before = asked();
    const { tools } = await list(`${name(1)}, ${name(2)}`);
    expect(tools[0]._meta["io.gatewright/via"]).toEqual([gateway.core.calls.hopId]);
    await list(`${name(2)},${name(1)}, x, ${name(2)}`);
    expect(asked()).toBe(before + 1);
    expect(server.seen("tools/list").at(-1)?.headers[hopHeader]).toContain(`${name(1)}, ${name(2)}`);
    await list(name(3));
    expect(asked()).toBe(before + 2);
    for (const upstream of names) gateway.core.calls.aggregates.outdate(await gateway.idOf(upstream));
    await list(name(3));
    expect(asked()).toBe(before + 3);
  });

  it("do not push out the lists of everybody else, however many chains there are", async () => {
    await list();
    const before = asked();
    const methods = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];
    for (let index = 0; index < 26; index++) {
      await Promise.all(methods.map((method) => list(name(1_000 + index), method)));
    }
    expect(asked()).toBe(before + 26);
    await list();
    expect(asked()).toBe(before + 26);
  });
});
