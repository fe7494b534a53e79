import { join } from "node:path";
import { eventually } from "@gatewright/testkit";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEverythingHttp } from "./support/public-servers.ts";
import { runCommand } from "./support/run-command.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";

type Everything = Awaited<ReturnType<typeof startEverythingHttp>>;

let http: Everything;
let events: Everything;
let scripted: ScriptedServer;

beforeAll(async () => {
  [http, events, scripted] = await Promise.all([
    startEverythingHttp(),
    startEverythingHttp("sse"),
    startScriptedServer(),
  ]);
});

afterAll(async () => {
  await Promise.all([http[Symbol.asyncDispose](), events[Symbol.asyncDispose](), scripted.close()]);
});

/** Each starts a process of its own, on machines that do much else: what is bounded is whether it happens. */
const patience = { timeoutMs: 30_000 };

const main = join(import.meta.dirname, "../src/main.ts");

describe("gatewright translate, a server elsewhere on standard input and output", () => {
  it.each([
    { name: "streamable HTTP", flag: "--connect", url: () => http.url, mode: "legacy" },
    {
      name: "streamable HTTP of any revision",
      flag: "--connect-streamable-http",
      url: () => http.url,
      mode: "auto",
    },
    { name: "HTTP+SSE", flag: "--connect-sse", url: () => events.url, mode: "legacy" },
    { name: "HTTP+SSE, found out", flag: "--connect", url: () => events.url, mode: "legacy" },
  ] as const)(
    "serves the official client over $name",
    async ({ flag, url, mode }) => {
      const transport = new StdioClientTransport({
        command: process.execPath,
        args: ["--conditions=@gatewright/source", main, "translate", flag, url(), "--log-level", "silent"],
      });
      const asked: string[] = [];
      const client = new Client(
        { name: "e2e", version: "1" },
        { capabilities: { sampling: {} }, versionNegotiation: { mode } },
      );
      client.setRequestHandler("sampling/createMessage", async ({ params }) => {
        asked.push(JSON.stringify(params));
        return { role: "assistant", model: "none", content: { type: "text", text: "of a model" } };
      });
      await client.connect(transport, { timeout: patience.timeoutMs });
      expect(client.getServerVersion()?.name).toBe("mcp-servers/everything");
      const echo = await client.callTool({ name: "echo", arguments: { message: "over a pipe" } });
      expect(JSON.stringify(echo.content)).toContain("Echo: over a pipe");
      const progress: number[] = [];
      const long = { name: "trigger-long-running-operation", arguments: { duration: 0.2, steps: 2 } };
      await client.callTool(long, { onprogress: (event) => progress.push(event.progress) });
      expect(progress[0]).toBe(1);
      const sampled = await client.callTool({
        name: "trigger-sampling-request",
        arguments: { prompt: "say something", maxTokens: 5 },
      });
      expect(JSON.stringify(sampled.content)).toContain("of a model");
      expect(asked).toHaveLength(1);
      await client.close();
    },
    60_000,
  );

  const hello = {
    jsonrpc: "2.0",
    id: 1,
    method: "initialize",
    params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "pipe", version: "1" } },
  };

  it("answers what it was asked before its input ended, then exits 0; headers come from the environment", async () => {
    const secret = "$".concat("{SECRET}");
    const flags = ["--header", `Authorization: Bearer ${secret}`, "--header", "X-Plain: yes"];
    const bridge = runCommand(["translate", "--connect", scripted.url, ...flags], { SECRET: "hidden" });
    let printed = "";
    bridge.output.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
    });
    bridge.input.write("no json\n");
    bridge.input.write(`${JSON.stringify(hello)}\n`);
    await eventually(() => printed.split("\n").length > 2, patience);
    bridge.input.end(`{"jsonrpc":"2.0","id":2,"method":"ping"}`);
    expect(await bridge.code).toBe(0);
    const answers = printed
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(answers.map(({ id }) => id)).toEqual([null, 1, 2]);
    expect(answers[0].error.code).toBe(-32700);
    const sent = scripted.seen("initialize").at(-1);
    expect(sent?.headers).toMatchObject({ authorization: "Bearer hidden", "x-plain": "yes" });
    expect(bridge.out).toEqual([]);
  });

  it("ends when it is asked to stop, and when nobody reads its answers", async () => {
    const stopped = runCommand(["translate", "--connect", scripted.url], {});
    stopped.input.write(`${JSON.stringify(hello)}\n`);
    await eventually(() => stopped.output.readableLength > 0, patience);
    expect(await stopped.stop()).toBe(0);
    const unheard = runCommand(["translate", "--connect", scripted.url], {});
    unheard.output.destroy(new Error("EPIPE"));
    unheard.input.write(`${JSON.stringify(hello)}\n`);
    expect(await unheard.code).toBe(0);
  });

  it("a server of the transport of 2024-11-05 may be served over streamable HTTP", async () => {
    await using bridge = runCommand(
      ["translate", "--connect-sse", events.url, "--expose-streamable-http"],
      {},
    );
    const client = new Client({ name: "e2e", version: "1" }, { versionNegotiation: { mode: "auto" } });
    await client.connect(new StreamableHTTPClientTransport(new URL(`${await bridge.url()}/mcp`)));
    const echo = await client.callTool({ name: "echo", arguments: { message: "newer" } });
    expect(JSON.stringify(echo.content)).toContain("Echo: newer");
    await client.close();
  });
});
