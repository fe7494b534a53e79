import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fixtureCommand, fixturePath, isAlive, type StdioFixture } from "../src/index.ts";
import { textOf } from "./connect.ts";

let folder: string;
let pidFile: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gatewright-stdio-"));
  pidFile = join(folder, "pid");
});
afterEach(() => rmSync(folder, { recursive: true }));

const pids = (): number[] => readFileSync(pidFile, "utf8").trim().split("\n").map(Number);
async function start(name: StdioFixture, mode: "legacy" | "auto", era = "dual") {
  const { command, args, env } = fixtureCommand(name);
  const client = new Client({ name: "stdio-test", version: "1.0.0" }, { versionNegotiation: { mode } });
  const transport = new StdioClientTransport({
    command,
    args: [...args],
    env: { ...env, PATH: process.env["PATH"] ?? "", FIXTURE_PID_FILE: pidFile, FIXTURE_ERA: era },
    stderr: "ignore",
  });
  await client.connect(transport);
  return { client, [Symbol.asyncDispose]: () => client.close() };
}

describe("stdio programs", () => {
  for (const mode of ["legacy", "auto"] as const) {
    it(`echo answers in ${mode} mode`, async () => {
      await using started = await start("echo-stdio", mode);
      const echoed = await started.client.callTool({ name: "echo", arguments: { text: "pipe" } });
      expect(textOf(echoed as never)).toBe("pipe");
      expect(started.client.getProtocolEra()).toBe(mode === "legacy" ? "legacy" : "modern");
    });
  }

  it("speaks only the era it is told to", async () => {
    await using legacy = await start("echo-stdio", "auto", "legacy");
    expect(legacy.client.getProtocolEra()).toBe("legacy");
    await expect(start("echo-stdio", "legacy", "modern")).rejects.toThrow(/[Uu]nsupported protocol version/);
  });

  it("slow and counter answer", async () => {
    await using slow = await start("slow-stdio", "legacy");
    expect(textOf((await slow.client.callTool({ name: "slow", arguments: { ms: 5 } })) as never)).toBe(
      "done after 5 ms",
    );
    await using counter = await start("counter-stdio", "legacy");
    await counter.client.callTool({ name: "add", arguments: { amount: 4 } });
    const { structuredContent } = await counter.client.callTool({ name: "read" });
    expect(structuredContent).toMatchObject({ value: 4 });
  });

  it("crash ends its process in mid-call", async () => {
    await using crash = await start("crash-stdio", "legacy");
    await expect(crash.client.callTool({ name: "crash" })).rejects.toThrow();
    await expect.poll(() => pids().some(isAlive)).toBe(false);
  });

  for (const name of ["stubborn-stdio", "stubborn-wrapper"] as const) {
    it(`${name} outlives the end of its input and SIGTERM`, async () => {
      const { command, args, env } = fixtureCommand(name);
      const child = spawn(command, args, {
        detached: true,
        stdio: ["pipe", "ignore", "pipe"],
        env: { ...process.env, ...env, FIXTURE_PID_FILE: pidFile },
      });
      let said = "";
      child.stderr.on("data", (chunk) => {
        said += chunk;
      });
      await expect.poll(() => said).toMatch(/is ready/);
      child.stdin.end();
      const [server] = pids() as [number];
      process.kill(server, "SIGTERM");
      await expect.poll(() => said).toMatch(/SIGTERM ignored/);
      expect(isAlive(server)).toBe(true);
      expect(server === child.pid).toBe(name === "stubborn-stdio");
      process.kill(-(child.pid ?? 0), "SIGKILL");
      await once(child, "exit");
      await expect.poll(() => isAlive(server)).toBe(false);
    });
  }

  it("knows the path of every program", () => {
    expect(fixturePath("echo-stdio")).toMatch(/echo-stdio\.ts$/);
    expect(fixturePath("stubborn-wrapper")).toMatch(/\.sh$/);
  });
});
