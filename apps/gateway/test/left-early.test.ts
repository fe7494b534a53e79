import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually } from "@gatewright/testkit";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openModern } from "./support/modern-client.ts";
import { openRaw } from "./support/raw-client.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

/** Whoever shows a token of another issuer waits for that one's keys. */
const asked: ServerResponse[] = [];
const issuer = createServer((_request, response) => void asked.push(response));
let server: ScriptedServer;
let gateway: TestGateway;

beforeAll(async () => {
  issuer.listen(0, "127.0.0.1");
  await once(issuer, "listening");
  server = await startScriptedServer();
  gateway = await startTestGateway({
    mcpServers: { up: { url: server.url } },
    auth: { jwksUrl: `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/` },
  });
  await gateway.core.refresher.ready();
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await server.close();
  issuer.closeAllConnections();
  issuer.close();
});

const streams = () => [...gateway.core.channels.counts().values()].reduce((sum, count) => sum + count, 0);
const ping = (token: string) =>
  gateway.rpc("/mcp", { jsonrpc: "2.0", id: 1, method: "ping" }, { authorization: `Bearer ${token}` });

it("a client that leaves while it is admitted takes no place for a stream, and has no call made", async () => {
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const foreign = await new SignJWT({ scope: "mcp" })
    .setProtectedHeader({ alg: "ES256", kid: "k" })
    .setSubject("tester")
    .setAudience("gatewright")
    .setExpirationTime("5m")
    .sign(privateKey);
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  const opened = await gateway.rpc("/mcp", { jsonrpc: "2.0", id: 0, method: "initialize", params });
  const id = opened.headers.get("mcp-session-id") ?? "";

  const headers = { authorization: `Bearer ${foreign}` };
  const cutWhen = () => eventually(() => asked.length === 1);
  await Promise.all([
    openRaw(gateway, "/sse", { method: "GET", headers, cutWhen }),
    openRaw(gateway, "/mcp", { method: "GET", headers: { ...headers, "mcp-session-id": id }, cutWhen }),
    openModern(gateway, {
      path: "/mcp",
      method: "subscriptions/listen",
      params: { notifications: { toolsListChanged: true } },
      headers,
      cutWhen,
    }),
    openModern(gateway, {
      path: "/mcp",
      method: "tools/call",
      params: { name: "up_write", arguments: {} },
      headers,
      cutWhen,
    }),
  ]);
  // By the time a whole request has been answered, the ends of the connections before have been seen.
  await ping(gateway.token);
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] });
  asked[0]?.setHeader("content-type", "application/json").end(keys);
  expect((await ping(foreign)).status).toBe(400);
  expect(streams()).toBe(0);
  expect(gateway.core.sessions.size).toBe(1);
  expect(gateway.core.sessions.peek(id)?.streaming).toBe(false);
  expect(server.seen("tools/call")).toHaveLength(0);
});
