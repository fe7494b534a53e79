import { isAlive } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import {
  Client,
  SSEClientTransport,
  StreamableHTTPClientTransport,
  type Transport,
} from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { descendants } from "./support/processes.ts";
import { scriptOf } from "./support/public-servers.ts";
import { type RunningCommand, runCommand } from "./support/run-command.ts";
import { SocketTransport } from "./support/socket-transport.ts";
import { gatewayClient } from "./support/test-gateway.ts";

const everything = `"${process.execPath}" '${scriptOf("everything")}' stdio`;

async function connect(transport: Transport, mode: "legacy" | "auto" = "legacy"): Promise<Client> {
  const client = new Client({ name: "e2e", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(transport);
  return client;
}

const overHttp = (url: string, headers: Record<string, string> = {}) =>
  new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
const overEvents = (url: string, headers: Record<string, string> = {}) =>
  new SSEClientTransport(new URL(url), { requestInit: { headers } });

const textOf = (result: unknown) =>
  (result as { readonly content: readonly { readonly text: string }[] }).content[0]?.text ?? "";

describe("gatewright translate, a program over every transport", () => {
  let bridge: RunningCommand;
  let url: string;

  beforeAll(async () => {
    bridge = runCommand(["translate", "--stdio", everything, "--cors", "https://page.example"], {});
    url = await bridge.url();
  });
  afterAll(async () => expect(await bridge.stop()).toBe(0));

  const clients = [
    { name: "streamable HTTP at /", open: () => connect(overHttp(`${url}/`)) },
    { name: "streamable HTTP at /mcp", open: () => connect(overHttp(`${url}/mcp`)) },
    { name: "streamable HTTP of any revision", open: () => connect(overHttp(`${url}/mcp`), "auto") },
    { name: "HTTP+SSE at /sse", open: () => connect(overEvents(`${url}/sse`)) },
    { name: "WebSocket at /ws", open: () => connect(new SocketTransport(`${url}/ws`, "none")) },
    { name: "WebSocket of any revision", open: () => connect(new SocketTransport(`${url}/ws`, ""), "auto") },
  ];

  it.each(clients)("serves the official client over $name, unchanged", async ({ open }) => {
    const client = await open();
    expect(client.getServerVersion()?.name).toBe("mcp-servers/everything");
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain("echo");
    expect(textOf(await client.callTool({ name: "echo", arguments: { message: "hällo" } }))).toBe(
      "Echo: hällo",
    );
    const progress: number[] = [];
    const long = { name: "trigger-long-running-operation", arguments: { duration: 0.2, steps: 2 } };
    await client.callTool(long, { onprogress: (event) => progress.push(event.progress) });
    expect(progress[0]).toBe(1);
    await client.close();
  });

  it("names what it serves, and answers /healthz", async () => {
    expect(bridge.out[0]).toMatch(/^Gatewright translates .*node at http:\/\/127\.0\.0\.1:\d+$/);
    expect(bridge.out.slice(1).map((line) => line.trim().split(/\s{2,}/)[0])).toEqual([
      "streamable HTTP",
      "HTTP+SSE",
      "WebSocket",
      "health",
    ]);
    const health = await fetch(`${url}/healthz`);
    expect([health.status, await health.json()]).toEqual([200, { status: "ok" }]);
    expect((await fetch(`${url}/gateways`)).status).toBe(404);
  });

  it("refuses foreign hosts and origins, and lets pages of --cors read answers", async () => {
    const ask = (origin: string, method = "POST") =>
      fetch(`${url}/mcp`, {
        method,
        headers: {
          origin,
          "content-type": "application/json",
          ...(method === "OPTIONS" && {
            "access-control-request-method": "POST",
            "access-control-request-headers": "mcp-session-id",
          }),
        },
        ...(method === "POST" && { body: '{"jsonrpc":"2.0","id":1,"method":"ping"}' }),
      });
    expect((await ask("https://other.example")).status).toBe(403);
    const preflight = await ask("https://page.example", "OPTIONS");
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("mcp-session-id");
    const answer = await ask("https://page.example");
    expect(answer.status).not.toBe(403);
    expect(answer.headers.get("access-control-allow-origin")).toBe("https://page.example");
  });

  it("a program that is killed comes back: the next call of the same session finds a new one", async () => {
    const client = await connect(overHttp(`${url}/mcp`));
    const call = () => client.callTool({ name: "echo", arguments: { message: "again" } });
    await call();
    const before = await descendants(process.pid, "server-everything");
    expect(before.length).toBeGreaterThan(0);
    for (const pid of before) if (isAlive(pid)) process.kill(pid, "SIGKILL");
    await eventually(() => before.every((pid) => !isAlive(pid)));
    const text = await eventually(async () => textOf(await call()), { timeoutMs: 20_000 });
    expect(text).toBe("Echo: again");
    await client.close();
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });
});

describe("gatewright translate, what is exposed", () => {
  it("is the chosen transports alone", async () => {
    await using bridge = runCommand(["translate", "--stdio", everything, "--expose-sse"], {});
    const url = await bridge.url();
    expect(bridge.out.map((line) => line.trim().split(/\s{2,}/)[0]).slice(1)).toEqual(["HTTP+SSE", "health"]);
    expect((await fetch(`${url}/mcp`, { method: "POST" })).status).toBe(404);
    await expect(connect(new SocketTransport(`${url}/ws`, ""))).rejects.toThrow();
    const client = await connect(overEvents(`${url}/sse`));
    expect((await client.listTools()).tools.length).toBeGreaterThan(0);
    await client.close();
  });

  it("beyond loopback a token is needed, which `gatewright token` mints", async () => {
    const env = { HOST: "0.0.0.0", GATEWRIGHT_SECRET: "a secret of at least thirty-two bytes" };
    await using bridge = runCommand(["translate", "--stdio", everything], env);
    const url = (await bridge.url()).replace("0.0.0.0", "127.0.0.1");
    const minted = runCommand(["token", "--scope", "mcp"], env);
    expect(await minted.code).toBe(0);
    const ping = { jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-11-25" } };
    expect((await gatewayClient(url, "none").rpc("/mcp", ping)).status).toBe(401);
    expect((await gatewayClient(url, minted.out[0] ?? "").rpc("/mcp", ping)).status).toBe(200);
    const open = runCommand(["translate", "--stdio", everything], { ...env, AUTH_REQUIRED: "false" });
    expect(await open.code).toBe(3);
    const mapped = ["translate", "--stdio", everything, "--header-to-env", "authorization=TOKEN"];
    const refused = runCommand(mapped, env);
    expect(await refused.code).toBe(2);
    expect(refused.err).toHaveLength(1);
  });

  it("a program that cannot be started is said to be down", async () => {
    await using bridge = runCommand(["translate", "--stdio", "/no/such/program"], {});
    const url = await bridge.url();
    const health = await eventually(async () => {
      const answer = await fetch(`${url}/healthz`);
      return answer.status === 503 && answer.json();
    });
    expect(health).toMatchObject({ status: "down", reason: expect.stringContaining("ENOENT") });
  });
});

describe("gatewright translate --header-to-env", () => {
  let bridge: RunningCommand;
  let url: string;

  beforeAll(async () => {
    const flags = ["--header-to-env", "X-Tenant=TENANT_NAME", "--header-to-env", "Authorization=API_TOKEN"];
    bridge = runCommand(["translate", "--stdio", everything, "--env", "COMMON=all", ...flags], {});
    url = await bridge.url();
  });
  afterAll(() => bridge.stop());

  const environmentOf = async (client: Client) =>
    JSON.parse(textOf(await client.callTool({ name: "get-env", arguments: {} }))) as Record<string, string>;

  it.each(["streamable HTTP", "HTTP+SSE"])(
    "gives each session over %s a process with its values",
    async (kind) => {
      const open = (tenant: string) => {
        const headers = { "x-tenant": tenant, authorization: `Bearer of ${tenant}` };
        return connect(
          kind === "HTTP+SSE" ? overEvents(`${url}/sse`, headers) : overHttp(`${url}/mcp`, headers),
        );
      };
      const clients = await Promise.all(["red", "blue"].map(open));
      const seen = await Promise.all(clients.map(environmentOf));
      expect(seen.map(({ TENANT_NAME, API_TOKEN, COMMON }) => [TENANT_NAME, API_TOKEN, COMMON])).toEqual([
        ["red", "Bearer of red", "all"],
        ["blue", "Bearer of blue", "all"],
      ]);
      await Promise.all(clients.map((client) => client.close()));
    },
  );

  it("calls without a session share one process for each set of values, and none where there are no values", async () => {
    const ask = async (headers: Record<string, string>) => {
      const client = await connect(overHttp(`${url}/mcp`, headers), "auto");
      expect(client.getNegotiatedProtocolVersion()).toBe("2026-07-28");
      const seen = await environmentOf(client);
      await client.close();
      return seen["TENANT_NAME"];
    };
    expect(await ask({ "x-tenant": "red" })).toBe("red");
    const processes = await descendants(process.pid, "server-everything");
    expect(await ask({ "x-tenant": "red" })).toBe("red");
    // Nothing was started; of those that were ending, some may have ended.
    const after = await descendants(process.pid, "server-everything");
    expect(after.filter((pid) => !processes.includes(pid))).toEqual([]);
    expect(await ask({ "x-tenant": "blue" })).toBe("blue");
    expect(await ask({})).toBeUndefined();
  });

  it("a session is not for those with other values", async () => {
    const headers = { "x-tenant": "red" };
    const { rpc } = gatewayClient(url, "none");
    const params = { protocolVersion: "2025-11-25" };
    const opened = await rpc("/mcp", { jsonrpc: "2.0", id: 1, method: "initialize", params }, headers);
    const session = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" };
    const ping = { jsonrpc: "2.0", id: 2, method: "ping" };
    expect((await rpc("/mcp", ping, { ...headers, ...session })).status).toBe(200);
    expect((await rpc("/mcp", ping, { "x-tenant": "blue", ...session })).status).toBe(403);
  });
});
