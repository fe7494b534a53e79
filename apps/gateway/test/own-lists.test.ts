import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modern } from "./support/modern-client.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let guarded: ScriptedServer;
let open: ScriptedServer;
let gateway: TestGateway;

const tool = (name: string) => ({ name, inputSchema: { type: "object" } });

beforeAll(async () => {
  [guarded, open] = await Promise.all([startScriptedServer(), startScriptedServer()]);
  // What there is depends on who is shown to ask.
  guarded.script("tools/list", (_response, send) => {
    const shown = guarded.seen("tools/list").at(-1)?.headers.authorization ?? "";
    send({ tools: [tool(shown.replace("Bearer ", "of_"))], ttlMs: 60_000, cacheScope: "public" });
  });
  open.script("tools/list", { result: { tools: [tool("all")], ttlMs: 60_000, cacheScope: "public" } });
  gateway = await startTestGateway({ mcpServers: { open: { url: open.url } } });
  const bearer = (token: string) => ({ type: "bearer", token });
  const users = { ann: bearer("ann"), bob: bearer("bob") };
  const auth = { type: "per_user", users, default: bearer("default") };
  const added = await gateway.rest("POST", "/gateways", { name: "guarded", url: guarded.url, auth });
  expect(added.status).toBe(201);
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await Promise.all([guarded.close(), open.close()]);
});

async function listed(user: string) {
  const token = await gateway.mint({ user });
  const { result } = (await modern(gateway, { path: "/mcp", method: "tools/list", token })).body;
  return { names: result.tools.map(({ name }: { name: string }) => name), ...result };
}

describe("lists of several upstreams as one, for a user with credentials of one's own", () => {
  it("show what the upstream shows that user, to that user alone; others share theirs", async () => {
    for (let round = 0; round < 2; round++) {
      expect((await listed("ann")).names).toEqual(["open_all", "guarded_of_ann"]);
      expect((await listed("bob")).names).toEqual(["open_all", "guarded_of_bob"]);
      expect((await listed("carl")).names).toEqual(["open_all", "guarded_of_default"]);
      expect((await listed("dora")).names).toEqual(["open_all", "guarded_of_default"]);
    }
    expect(await listed("ann")).toMatchObject({ cacheScope: "private" });
    expect(await listed("carl")).toMatchObject({ cacheScope: "public" });
    const shown = guarded.seen("tools/list").map(({ headers }) => headers.authorization);
    for (const own of ["ann", "bob"]) expect(shown.filter((one) => one === `Bearer ${own}`)).toHaveLength(1);
  });

  it("of an upstream that fails show none of what others saw, and the own last good ones", async () => {
    guarded.script("tools/list", { status: 503 });
    gateway.core.calls.aggregates.outdate(await gateway.idOf("guarded"));
    expect((await listed("ann")).names).toEqual(["open_all", "guarded_of_ann"]);
    expect((await listed("carl")).names).toEqual(["open_all", "guarded_of_default"]);
    await gateway.rest("PATCH", `/gateways/${await gateway.idOf("guarded")}`, {
      auth: {
        type: "per_user",
        users: { eve: { type: "bearer", token: "eve" } },
        default: { type: "bearer", token: "default" },
      },
    });
    await eventually(async () => (await listed("eve")).names.join() === "open_all");
  });
});
