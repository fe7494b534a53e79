import { startRawServer } from "@gatewright/mcp-fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

let raw: Awaited<ReturnType<typeof startRawServer>>;
let gateway: TestGateway;

beforeAll(async () => {
  raw = await startRawServer();
  gateway = await startTestGateway({ mcpServers: { raw: { url: raw.url } } });
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await raw.close();
});

const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
const modern = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};

const unheardOf = { ...modern, "io.modelcontextprotocol/protocolVersion": "2099-01-01" };

describe("refusals of messages say code, retryable and requestId", () => {
  it.each([
    ["parse_error", -32700, "{", {}],
    ["invalid_request", -32600, [ping], {}],
    ["invalid_request", -32600, ping, { "content-type": "text/plain" }],
    ["invalid_params", -32602, ping, { "mcp-protocol-version": "2026-07-28" }],
    [
      "header_mismatch",
      -32020,
      { ...ping, method: "tools/list", params: { _meta: modern } },
      { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call" },
    ],
    [
      "unsupported_version",
      -32022,
      { ...ping, method: "tools/list", params: { _meta: unheardOf } },
      { "mcp-protocol-version": "2099-01-01", "mcp-method": "tools/list" },
    ],
  ] as const)("%s is %i", async (code, number, body, headers) => {
    const answer = await gateway.rpc("/mcp", body, headers);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      jsonrpc: "2.0",
      error: { code: number, data: { code, retryable: false, requestId: expect.stringMatching(/./) } },
    });
    expect(answer.body).toHaveProperty("id");
  });
});
