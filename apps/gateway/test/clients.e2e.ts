import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEverythingHttp, stdioServer } from "./support/public-servers.ts";
import { startTestGateway, type TestGateway } from "./support/test-gateway.ts";

type Everything = Awaited<ReturnType<typeof startEverythingHttp>>;

let http: Everything;
let gateway: TestGateway;
let folder: string;

beforeAll(async () => {
  http = await startEverythingHttp();
  folder = await mkdtemp(join(tmpdir(), "gatewright-clients-"));
  await writeFile(join(folder, "a.txt"), "hällo from a file");
  gateway = await startTestGateway({
    mcpServers: {
      "over-stdio": stdioServer("everything"),
      "over-http": { url: http.url },
      memory: { ...stdioServer("memory"), env: { MEMORY_FILE_PATH: join(folder, "memory.json") } },
      files: stdioServer("filesystem", [folder]),
    },
  });
});

afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await http[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** How the client finds out which revision is spoken; `modern` asks for none but the newest. */
const modes = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } } as const;
type Mode = keyof typeof modes;

async function connect(path: string, mode: Mode): Promise<Client> {
  const versionNegotiation = { mode: modes[mode] };
  const client = new Client({ name: "e2e", version: "1.0.0" }, { versionNegotiation });
  const transport = new StreamableHTTPClientTransport(new URL(`${gateway.url}${path}`), {
    requestInit: { headers: { authorization: `Bearer ${gateway.token}` } },
  });
  await client.connect(transport);
  return client;
}

describe.each(["legacy", "auto", "modern"] as const)("the official client in mode %s", (mode) => {
  describe.each(["over-stdio", "over-http"])("against server-everything %s", (upstream) => {
    it("lists, calls, reads, prompts, sees progress and error results on its own server", async () => {
      const client = await connect(`/servers/${await gateway.idOf(upstream)}/mcp`, mode);
      expect(client.getServerVersion()?.name).toBe("mcp-servers/everything");

      const { tools } = await client.listTools();
      expect(tools.map((tool) => tool.name)).toContain("echo");
      const echo = await client.callTool({ name: "echo", arguments: { message: "hällo" } });
      expect(echo.content).toEqual([{ type: "text", text: "Echo: hällo" }]);

      const { resources } = await client.listResources();
      const uri = resources[0]?.uri ?? "";
      const read = await client.readResource({ uri });
      expect(read.contents[0]?.uri).toBe(uri);

      const { prompts } = await client.listPrompts();
      expect(prompts.length).toBeGreaterThan(0);
      const prompt = await client.getPrompt({ name: "simple-prompt" });
      expect(prompt.messages[0]?.role).toBe("user");

      const progress: number[] = [];
      await client.callTool(
        { name: "trigger-long-running-operation", arguments: { duration: 0.4, steps: 4 } },
        { onprogress: (event) => progress.push(event.progress) },
      );
      expect(progress).toEqual([1, 2, 3, 4]);

      const wrong = await client.callTool({ name: "get-sum", arguments: { a: "x", b: 1 } });
      expect(wrong.isError).toBe(true);
      await client.close();
    });
  });

  it("lists, calls and sees error results of server-memory, which has no prompts and no resources", async () => {
    const client = await connect(`/servers/${await gateway.idOf("memory")}/mcp`, mode);
    expect(client.getServerVersion()?.name).toBe("memory-server");
    expect(client.getServerCapabilities()).not.toHaveProperty("prompts");
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name)).toContain("create_entities");
    const entity = { name: mode, entityType: "mode", observations: ["ä"] };
    await client.callTool({ name: "create_entities", arguments: { entities: [entity] } });
    const found = await client.callTool({ name: "open_nodes", arguments: { names: [mode] } });
    expect(found.structuredContent).toEqual({ entities: [entity], relations: [] });
    const observation = { entityName: "nobody", contents: ["x"] };
    const wrong = await client.callTool({
      name: "add_observations",
      arguments: { observations: [observation] },
    });
    expect(wrong.isError).toBe(true);
    expect(JSON.stringify(wrong.content)).toContain("nobody");
    await client.close();
  });

  it("lists, calls and sees error results of server-filesystem, which has no prompts and no resources", async () => {
    const client = await connect(`/servers/${await gateway.idOf("files")}/mcp`, mode);
    expect(client.getServerVersion()?.name).toBe("secure-filesystem-server");
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name)).toContain("read_text_file");
    const read = await client.callTool({
      name: "read_text_file",
      arguments: { path: join(folder, "a.txt") },
    });
    expect(read.content).toEqual([{ type: "text", text: "hällo from a file" }]);
    const outside = await client.callTool({ name: "read_text_file", arguments: { path: "/etc/hostname" } });
    expect(outside.isError).toBe(true);
    expect(JSON.stringify(outside.content)).toContain("Access denied");
    await client.close();
  });

  it("sees all servers behind /mcp, under their slugs", async () => {
    const client = await connect("/mcp", mode);
    const { tools } = await client.listTools();
    const names = tools.map((tool) => tool.name);
    expect(names).toContain("over-stdio_echo");
    expect(names).toContain("over-http_echo");
    expect(names).toContain("memory_read_graph");
    expect(names).toContain("files_list_directory");
    const { resources } = await client.listResources();
    const uri = resources[0]?.uri ?? "";
    expect((await client.readResource({ uri })).contents[0]?.uri).toBe(uri);
    const listed = await client.callTool({ name: "files_list_directory", arguments: { path: folder } });
    expect(JSON.stringify(listed.content)).toContain("a.txt");
    const wrong = await client.callTool({ name: "over-http_get-sum", arguments: { a: "x", b: 1 } });
    expect(wrong.isError).toBe(true);
    const sum = await client.callTool({ name: "over-http_get-sum", arguments: { a: 2, b: 3 } });
    expect(JSON.stringify(sum.content)).toContain("5");
    const prompt = await client.getPrompt({ name: "over-stdio_simple-prompt" });
    expect(prompt.messages.length).toBeGreaterThan(0);
    const progress: number[] = [];
    await client.callTool(
      { name: "over-stdio_trigger-long-running-operation", arguments: { duration: 0.2, steps: 2 } },
      { onprogress: (event) => progress.push(event.progress) },
    );
    expect(progress).toEqual([1, 2]);
    await client.close();
  });
});
