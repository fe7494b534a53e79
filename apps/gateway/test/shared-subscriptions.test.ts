import { fileURLToPath } from "node:url";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRaw } from "./support/raw-client.ts";
import { openSession } from "./support/replica-set.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

const child = fileURLToPath(new URL("./support/subscribable-child.mjs", import.meta.url));
let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startTestGateway({
    mcpServers: { one: { command: process.execPath, args: [child], child: "shared" } },
  });
  await gateway.core.refresher.ready();
});

afterAll(() => gateway[Symbol.asyncDispose]());

/** A client with a session and its stream. */
async function join(path: string) {
  const session = await openSession(gateway, path);
  const headers = { "mcp-session-id": session.id, "mcp-protocol-version": "2025-11-25" };
  const stream = await openRaw(gateway, path, { method: "GET", headers });
  const heard = () =>
    stream.events.flatMap(({ data }) => (data === undefined ? [] : [data.params?.uri ?? data.method]));
  const send = async (method: string, params: object) =>
    (await session.request(gateway, method, params)).body;
  return { heard, send, tool: session.tool.bind(session, gateway), leave: () => session.delete(gateway) };
}

describe("a program with sessions that all clients share", () => {
  it.each([
    { where: "its own endpoint", plain: true },
    { where: "an endpoint of several", plain: false },
  ])(
    "tells of a resource those clients that subscribed to it, and of lists all: $where",
    async ({ plain }) => {
      const path = plain ? `/servers/${await gateway.idOf("one")}/mcp` : "/mcp";
      const uri = `res://${plain}`;
      const shown = plain ? uri : `one+${uri}`;
      const prefix = plain ? "" : "one_";
      const [ann, bob, eve] = [await join(path), await join(path), await join(path)];
      expect((await ann.send("resources/subscribe", { uri: shown })).result).toEqual({});
      expect((await bob.send("resources/subscribe", { uri: shown })).result).toEqual({});
      const update = () => eve.tool(`${prefix}update`, { uri });
      const change = "notifications/tools/list_changed";
      await update();
      await eve.tool(`${prefix}change`);
      await eventually(() => [ann, bob, eve].every(({ heard }) => heard().includes(change)));
      expect([ann, bob, eve].map(({ heard }) => heard())).toEqual([
        [shown, change],
        [shown, change],
        [change],
      ]);

      // What one no longer wants, the other still gets.
      expect((await ann.send("resources/unsubscribe", { uri: shown })).result).toEqual({});
      expect((await eve.send("resources/unsubscribe", { uri: shown })).result).toEqual({});
      await update();
      await eventually(() => bob.heard().length === 3);
      expect(ann.heard()).toHaveLength(2);
      const { seen } = await eve.tool(`${prefix}seen`);
      expect(seen.filter((said: string) => said.endsWith(uri))).toEqual([`subscribe ${uri}`]);
      await Promise.all([ann, bob, eve].map(({ leave }) => leave()));
    },
  );
});
