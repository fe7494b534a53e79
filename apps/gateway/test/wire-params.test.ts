import { startRawServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let raw: Awaited<ReturnType<typeof startRawServer>>;
let scripted: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  raw = await startRawServer();
  scripted = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { raw: { url: raw.url }, scripted: { url: scripted.url } },
  });
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await scripted.close();
  await raw.close();
});

const ask = (method: string, params?: object, id = 1) => ({ jsonrpc: "2.0", id, method, params });
const invalid = { jsonrpc: "2.0", id: 1, error: { code: -32602, data: { code: "invalid_params" } } };

describe("the media type of a message", () => {
  it.each([
    "application/json",
    "Application/JSON",
    "application/json;charset=utf-8",
    'application/json; charset="UTF-8"',
  ])("%s is taken", async (type) => {
    const answer = await gateway.rpc("/mcp/http", ask("ping"), { "content-type": type });
    expect(answer.status).toBe(200);
  });

  it.each([
    [{ "content-type": "text/plain" }, "application/json"],
    [{ "content-type": "text/plain; x=application/json" }, "application/json"],
    [{ "content-type": "application/json-seq" }, "application/json"],
    [{ "content-type": "application/json; charset=latin1" }, "utf-8"],
    [{ "content-encoding": "gzip" }, "Content-Encoding"],
  ])("%o is refused", async (headers, word) => {
    const answer = await gateway.rpc("/mcp/http", ask("ping"), headers);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ id: null, error: { code: -32600 } });
    expect(answer.body.error.message).toContain(word);
  });

  it("is JSON on REST too (415), and a DELETE may announce it without a body", async () => {
    const headers = { authorization: `Bearer ${gateway.token}` };
    const plain = await fetch(`${gateway.url}/gateways`, {
      method: "POST",
      headers: { ...headers, "content-type": "text/plain" },
      body: "{}",
    });
    expect(plain.status).toBe(415);
    expect(await plain.json()).toMatchObject({ error: { code: "validation_failed" } });
    const made = await gateway.rest("POST", "/servers", {
      name: "gone",
      gatewayIds: [await gateway.idOf("raw")],
    });
    expect(made.status).toBe(201);
    const gone = await fetch(`${gateway.url}/servers/${made.body.id}`, {
      method: "DELETE",
      headers: { ...headers, "content-type": "application/json" },
    });
    expect(gone.status).toBe(204);
  });
});

describe("params on /mcp", () => {
  it("a cursor that was never given out, and a level that does not exist, are −32602", async () => {
    for (const method of ["tools/list", "prompts/list", "resources/list", "resources/templates/list"]) {
      const answer = await gateway.rpc("/mcp/http", ask(method, { cursor: "bogus" }));
      expect(answer.body).toMatchObject(invalid);
    }
    for (const params of [{ level: "loud" }, {}]) {
      const answer = await gateway.rpc("/mcp/http", ask("logging/setLevel", params));
      expect(answer.body).toMatchObject(invalid);
    }
    const fine = await gateway.rpc("/mcp/http", ask("logging/setLevel", { level: "error" }));
    expect(fine.body.result).toEqual({});
  });

  it("an initialize that names no revision, or is of the wrong types, is −32602", async () => {
    const protocolVersion = "2025-11-25";
    for (const params of [undefined, {}, { protocolVersion: 1 }, { protocolVersion, clientInfo: [] }]) {
      for (const path of ["/mcp", "/mcp/http"]) {
        expect((await gateway.rpc(path, ask("initialize", params))).body).toMatchObject(invalid);
      }
    }
  });

  it("an unknown revision is told which ones this endpoint serves", async () => {
    const headers = { "mcp-protocol-version": "2099-01-01" };
    const supported = async (path: string) =>
      (await gateway.rpc(path, ask("ping"), headers)).body.error.data.supported as string[];
    for (const path of ["/mcp", "/mcp/"]) {
      expect(await supported(path)).toEqual(expect.arrayContaining(["2026-07-28", "2025-11-25"]));
    }
    // What an upstream's own server/discover names, which is passed on unchanged.
    expect(await supported(`/servers/${await gateway.idOf("scripted")}/mcp`)).toEqual(["2026-07-28"]);
  });
});

it("a second request under the id of one in flight is refused, and the first is answered", async () => {
  let finish = () => {};
  scripted.script("tools/call", (_response, send) => {
    finish = () => send({ content: [] });
  });
  const opened = await gateway.rpc("/mcp", ask("initialize", { protocolVersion: "2025-11-25" }));
  const session = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
  const call = ask("tools/call", { name: "scripted_read", arguments: {} }, 9);
  const first = gateway.rpc("/mcp", call, { ...session, accept: "application/json" });
  await expect.poll(() => scripted.seen("tools/call").length, { timeout: 5_000 }).toBe(1);
  const second = await gateway.rpc("/mcp", call, session);
  expect(second.body).toMatchObject({ id: 9, error: { code: -32600, data: { code: "invalid_request" } } });
  finish();
  expect((await first).body).toMatchObject({ id: 9, result: { content: [] } });
});
