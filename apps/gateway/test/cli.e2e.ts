import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { isAlive } from "@gatewright/mcp-fixtures";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CommandIo } from "../src/cli/command-io.ts";
import { runCli } from "../src/cli/run-cli.ts";
import { descendants, queuedMs } from "./support/processes.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-cli-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const env = (more: Record<string, string> = {}) => ({
  PATH: process.env["PATH"] ?? "",
  NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? "",
  DATA_DIR: folder,
  LOG_LEVEL: "silent",
  PORT: "0",
  ...more,
});

/** Runs a command in this process; `stop` ends a `serve`. */
function run(args: string[], more: Record<string, string> = {}) {
  const out: string[] = [];
  const err: string[] = [];
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => {
    stop = resolve;
  });
  const io: CommandIo = {
    env: env(more),
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    stopped: () => stopped,
  };
  return { out, err, stop, code: runCli(args, io) };
}

describe("gatewright", () => {
  it("explains itself, and refuses unknown commands and flags with a suggestion", async () => {
    const help = run([]);
    expect(await help.code).toBe(0);
    expect(help.out.join("\n")).toContain("serve");
    const wrong = run(["serv"]);
    expect(await wrong.code).toBe(2);
    expect(wrong.err[0]).toContain('did you mean "serve"?');
    const flag = run(["serve", "--prot", "1"]);
    expect(await flag.code).toBe(2);
    expect(flag.err).toEqual(['gatewright serve: unknown option --prot; did you mean "--port"?']);
    expect(await run(["serve", "-z"]).code).toBe(2);
  });

  it("a misspelt configuration key ends with its path, the nearest key and exit code 3", async () => {
    const file = join(folder, "wrong.yaml");
    await writeFile(file, "server:\n  prot: 9000\nplugns: []\n");
    const check = run(["config", "check", file]);
    expect(await check.code).toBe(3);
    const text = check.err.join("\n");
    expect(text).toContain('server.prot: unknown key; did you mean "port"?');
    expect(text).toContain('plugns: unknown key; did you mean "plugins"?');
    expect(text).toContain(file);
    expect(await run(["serve", "--config", file]).code).toBe(3);
  });

  it("checks a configuration and prints its JSON Schema", async () => {
    const file = join(folder, "right.json");
    await writeFile(file, JSON.stringify({ mcpServers: { a: { command: "node" } } }));
    const check = run(["config", "check", "--config", file]);
    expect(await check.code).toBe(0);
    expect(check.out[0]).toContain("1 upstream");
    const schema = run(["config", "schema"]);
    expect(await schema.code).toBe(0);
    expect(JSON.parse(schema.out[0] ?? "")).toMatchObject({ type: "object" });
    expect(await run(["config"]).code).toBe(2);
  });

  it("refuses in a check what serving refuses: a plugin that there is not, a rule that is none, a module without plugin", async () => {
    const module = join(folder, "empty.mjs");
    await writeFile(module, "export {};");
    const rule = (rules: object[]) => ({ name: "rate_limiter", config: { rules } });
    for (const [plugins, word] of [
      [[{ name: "rate_limter" }], 'did you mean "rate_limiter"?'],
      [[rule([{ name: "a", by: "nobody", limit: "5/fortnight" }])], "plugins"],
      [[{ name: "own", module }], "plugins.0.module"],
    ] as const) {
      const file = join(folder, "plugins.json");
      await writeFile(file, JSON.stringify({ plugins }));
      for (const command of [
        ["config", "check", file],
        ["serve", "--config", file],
      ]) {
        const done = run(command);
        expect([command[0], await done.code]).toEqual([command[0], 3]);
        expect(done.err.join("\n")).toContain(word);
      }
    }
    // One from outside that is right is not started by a check.
    const own = join(folder, "own.mjs");
    await writeFile(
      own,
      `export default { name: "own", version: "1", description: "", hooks: { tool_pre_invoke: {} },
        create() { throw new Error("started"); } };`,
    );
    const right = join(folder, "own.json");
    await writeFile(right, JSON.stringify({ plugins: [{ name: "own", module: own }] }));
    expect(await run(["config", "check", right]).code).toBe(0);
  });

  it("serves the demo: the printed call works as it is printed; plugins are listed and switched", async () => {
    const demo = run(["serve", "--demo"]);
    const first = await eventually(() => demo.out[0] ?? false);
    const url = /http:\S+/.exec(first)?.[0] ?? "";
    await eventually(() => demo.out.length > 8);
    const from = demo.out.findIndex((line) => line.startsWith("curl"));
    const to = demo.out.findIndex((line, index) => index > from && line === "");
    const shell = demo.out.slice(from, to).join("\n");
    const { stdout } = await promisify(execFile)("sh", ["-c", shell]);
    expect(JSON.parse(stdout)).toMatchObject({ id: 1, result: { content: [{ text: "Echo: hello" }] } });
    expect((await fetch(/http:\S+\/docs/.exec(demo.out.at(-1) ?? "")?.[0] ?? "")).status).toBe(200);

    const list = run(["plugins", "list", "--url", url]);
    expect(await list.code).toBe(0);
    expect(list.out.join("\n")).toContain("rate_limiter");
    const off = run(["plugins", "mode", "retry", "disabled", "--url", url]);
    expect(await off.code).toBe(0);
    expect(JSON.parse(off.out[0] ?? "")).toMatchObject({ converged: true });
    expect(await run(["plugins", "mode", "retry", "--url", url]).code).toBe(0);
    expect(await run(["plugins", "mode", "retry", "inherit", "--url", url]).code).toBe(0);
    expect(await run(["plugins", "mode", "retri", "disabled", "--url", url]).code).toBe(2);
    expect(await run(["plugins", "nonsense", "--url", url]).code).toBe(2);

    const minted = run(["token", "--user", "u", "--scope", "mcp", "--tenant", "t", "--expires-in", "60"]);
    expect(await minted.code).toBe(0);
    const asUser = await fetch(`${url}/gateways`, { headers: { authorization: `Bearer ${minted.out[0]}` } });
    expect(asUser.status).toBe(200);
    expect(await run(["token", "--scope", "root"]).code).toBe(2);
    expect(await run(["token", "--expires-in", "soon"]).code).toBe(2);

    const busy = run(["serve"], { PORT: new URL(url).port, DATA_DIR: join(folder, "second") });
    expect(await busy.code).toBe(4);
    expect(busy.err).toHaveLength(1);
    expect(busy.err[0]).toContain("is in use");

    demo.stop();
    expect(await demo.code).toBe(0);
    await expect(fetch(url)).rejects.toThrow();
  });

  it("needs no token on loopback without auth, and says why it needs one elsewhere", async () => {
    const open = run(["serve", "--demo"], { AUTH_REQUIRED: "false", DATA_DIR: join(folder, "open") });
    const first = await eventually(() => open.out[0] ?? false);
    const url = /http:\S+/.exec(first)?.[0] ?? "";
    expect((await fetch(`${url}/gateways`)).status).toBe(200);
    expect(open.out.join("\n")).not.toContain("Bearer");
    open.stop();
    expect(await open.code).toBe(0);
    const wide = run(["serve"], { AUTH_REQUIRED: "false", HOST: "0.0.0.0" });
    expect(await wide.code).toBe(3);
    expect(wide.err.join("\n")).toContain("loopback");
  });

  it("as a process: SIGTERM lets the call in flight finish, exits 0, and leaves no child", async () => {
    const main = join(import.meta.dirname, "../src/main.ts");
    const child = spawn(process.execPath, ["--conditions=@gatewright/source", main, "serve", "--demo"], {
      env: env({ AUTH_REQUIRED: "false", DATA_DIR: join(folder, "process") }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    let printed = "";
    child.stdout.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
    });
    const exited = once(child, "exit");
    const startedMs = performance.now();
    const url = await eventually(() => /^Gatewright listens on (http:\S+)\n/.exec(printed)?.[1] ?? false, {
      timeoutMs: 30_000,
    });
    // Other tests run meanwhile: what it waited for a processor is not its own.
    expect(performance.now() - startedMs - queuedMs(child.pid ?? 0)).toBeLessThan(5_000);
    const long = { name: "everything_trigger-long-running-operation", arguments: { duration: 1, steps: 1 } };
    const pending = fetch(`${url}/mcp/http`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: long }),
    });
    const children = await eventually(async () => {
      const pids = await descendants(child.pid ?? 0, "server-everything");
      return pids.length > 0 && pids;
    });
    const waiting = await eventually(async () => {
      const text = await (await fetch(`${url}/metrics`)).text();
      return /gatewright_session_leases 1/.test(text);
    });
    expect(waiting).toBe(true);
    child.kill("SIGTERM");
    const answer = await (await pending).json();
    expect(answer).toMatchObject({ id: 1, result: {} });
    expect(await exited).toEqual([0, null]);
    await eventually(() => children.every((pid) => !isAlive(pid)));
  });
});
