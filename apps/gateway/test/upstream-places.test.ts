import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { candidatesOf } from "../src/upstreams/candidates.ts";
import { startEverythingHttp } from "./support/public-servers.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

type Everything = Awaited<ReturnType<typeof startEverythingHttp>>;

let http: Everything;
let events: Everything;
let scripted: ScriptedServer;

beforeAll(async () => {
  http = await startEverythingHttp();
  events = await startEverythingHttp("sse");
  scripted = await startScriptedServer();
}, 60_000);

afterAll(async () => {
  await Promise.all([http[Symbol.asyncDispose](), events[Symbol.asyncDispose](), scripted.close()]);
});

const originOf = ({ url }: { readonly url: string }) => new URL(url).origin;
const definition = { stateless: false, trusted: false, idempotency: false, child: "session" as const };
const placesOf = (url: string, transport?: "sse") =>
  candidatesOf({ ...definition, url, passthroughHeaders: [], tags: [], ...(transport && { transport }) }).map(
    (place) => [place.url, place.transport],
  );

describe("a URL without a path", () => {
  it("is tried at /, /mcp and /sse, its query and all; any other is what it says", () => {
    expect(placesOf("http://a.example?key=1")).toEqual([
      ["http://a.example?key=1", undefined],
      ["http://a.example/mcp?key=1", undefined],
      ["http://a.example/sse?key=1", "sse"],
    ]);
    expect(placesOf("http://a.example/", "sse")).toEqual([
      ["http://a.example/", "sse"],
      ["http://a.example/sse", "sse"],
    ]);
    expect(placesOf("http://a.example/x")).toEqual([["http://a.example/x", undefined]]);
  });

  it("is found out when it is registered, and each time where the configuration names it", async () => {
    await using gateway = await startTestGateway({
      mcpServers: { plain: { url: originOf(http) }, older: { url: originOf(events) } },
    });
    const register = (name: string, url: string) => gateway.rest("POST", "/gateways", { name, url });
    const made = await register("registered", originOf(events));
    expect([made.status, made.body.url]).toEqual([201, events.url]);
    const other = await register("registered-http", originOf(http));
    expect([other.status, other.body.url]).toEqual([201, http.url]);
    // The same when one that is registered moves; how it was spoken to is not kept.
    expect([made.body.transport, other.body.transport]).toEqual(["sse", "http"]);
    const path = `/gateways/${made.body.id}`;
    for (const { url, transport } of [
      { ...http, transport: "http" },
      { ...events, transport: "sse" },
    ]) {
      const moved = await gateway.rest("PATCH", path, { url: new URL(url).origin });
      expect(moved.body).toMatchObject({ url, transport, state: "reachable" });
    }
    for (const name of ["plain", "older"]) {
      const params = { name: `${name}_echo`, arguments: { message: name } };
      const text = await eventually(
        async () => {
          const { body } = await gateway.rpc("/mcp/http", {
            jsonrpc: "2.0",
            id: 1,
            method: "tools/call",
            params,
          });
          return body.result?.content[0].text ?? false;
        },
        { timeoutMs: 20_000 },
      );
      expect(text).toBe(`Echo: ${name}`);
    }
  }, 60_000);
});

describe("an upstream that redirects", () => {
  it("is not followed, to wherever", async () => {
    let asked = 0;
    const target = createServer((_request, response) => {
      asked++;
      response.end();
    }).listen(0, "127.0.0.1");
    await once(target, "listening");
    const location = `http://127.0.0.1:${(target.address() as AddressInfo).port}/mcp`;
    for (const method of ["server/discover", "initialize"])
      scripted.script(method, { status: 307, headers: { location } });
    await using gateway = await startTestGateway();
    const made = await gateway.rest("POST", "/gateways", { name: "elsewhere", url: scripted.url });
    expect([made.status, made.body.error.code]).toEqual([502, "upstream_unreachable"]);
    expect(asked).toBe(0);
    target.close();
  });
});
