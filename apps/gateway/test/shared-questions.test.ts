import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LegacyServer, startLegacyServer } from "./support/legacy-server.ts";
import { askable, modern } from "./support/modern-client.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let server: LegacyServer;
let gateway: TestGateway;
const question = (id: string) => ({
  id,
  method: "elicitation/create",
  params: { message: "who?", requestedSchema: { type: "object", properties: {} } },
});

beforeAll(async () => {
  server = await startLegacyServer({
    // Asks where all calls of the session are heard, and ends with whatever it is told.
    ask: (call) => {
      const timer = setInterval(() => {
        try {
          call.sayOwn({ method: "notifications/message", params: { level: "info", data: "secret" } });
          call.sayOwn(question("q"));
        } catch {
          return;
        }
        clearInterval(timer);
      }, 5);
      const answered = setInterval(() => {
        const told = server.taken.find(({ message }) => message.id === "q");
        if (told === undefined) return;
        clearInterval(answered);
        call.answer({ content: [{ type: "text", text: JSON.stringify(told.message) }] });
      }, 5);
    },
  });
  gateway = await startTestGateway({
    mcpServers: { shared: { url: server.url, stateless: true }, own: { url: server.url } },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
});

const call = async (upstream: string) => {
  const path = `/servers/${await gateway.idOf(upstream)}/mcp`;
  const meta = { "io.modelcontextprotocol/logLevel": "info" };
  const params = { name: "ask", arguments: {} };
  return modern(gateway, { path, method: "tools/call", params, capabilities: askable, meta });
};

describe("what an upstream says outside a call, to a client without a session", () => {
  it("goes to the one call of the session", async () => {
    const { body, before } = await call("own");
    expect(before.map(({ params }) => params.data)).toEqual(["secret"]);
    expect(Object.values(body.result.inputRequests)).toMatchObject([{ method: "elicitation/create" }]);
  });

  it("goes to nobody where the session is shared, for it may be another's: a question is refused", async () => {
    const { body, before } = await call("shared");
    expect(before).toEqual([]);
    const told = JSON.parse(body.result.content[0].text);
    expect(told).toMatchObject({ id: "q", error: { code: -32_601 } });
    await eventually(() => server.taken.filter(({ message }) => message.id === "q").length === 1);
  });
});
