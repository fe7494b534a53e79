import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { eventually, reservePort } from "@gatewright/testkit";

const require = createRequire(import.meta.url);

/** The script of a public MCP server that is installed as a package. */
export function scriptOf(server: "everything" | "memory" | "filesystem"): string {
  const manifest = require.resolve(`@modelcontextprotocol/server-${server}/package.json`);
  const { bin } = require(manifest) as { bin: Record<string, string> };
  return join(dirname(manifest), Object.values(bin)[0] ?? "");
}

/** An `mcpServers` entry that runs such a server over stdio. */
export function stdioServer(server: Parameters<typeof scriptOf>[0], args: string[] = []) {
  return { command: process.execPath, args: [scriptOf(server), ...args] };
}

/** Starts server-everything over streamable HTTP, or over the transport of 2024-11-05. */
export async function startEverythingHttp(transport: "streamableHttp" | "sse" = "streamableHttp"): Promise<{
  url: string;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const { port, release } = await reservePort();
  const child = spawn(process.execPath, [scriptOf("everything"), transport], {
    env: { PATH: process.env["PATH"] ?? "", PORT: String(port) },
    stdio: "ignore",
  });
  const url = `http://127.0.0.1:${port}${transport === "sse" ? "/sse" : "/mcp"}`;
  await eventually(
    async () => {
      await (await fetch(url)).body?.cancel();
    },
    { timeoutMs: 20_000 },
  );
  return {
    url,
    async [Symbol.asyncDispose]() {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
      release();
    },
  };
}
