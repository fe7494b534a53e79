import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newApiKey } from "../src/auth/api-keys.ts";
import { type RunningCommand, runCommand } from "./support/run-command.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { type GatewayClient, gatewayClient } from "./support/test-gateway.ts";

let folder: string;
let file: string;
let first: ScriptedServer;
let second: ScriptedServer;
let command: RunningCommand;
let gateway: GatewayClient;
const secret = { GATEWRIGHT_SECRET: "a secret of at least thirty-two bytes" };

/** As many editors do: another file takes the place of the old one. */
async function write(config: object | string): Promise<void> {
  const text = typeof config === "string" ? config : JSON.stringify(config);
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
}

const base = () => ({ mcpServers: { one: { url: first.url } } });

const status = async () => (await gateway.rest("GET", "/admin/config")).body;
const reloadsOf = async () => (await status()).reloads as number;
/** Writes the file, and waits until it is followed. */
async function follow(config: object) {
  const before = await reloadsOf();
  await write(config);
  return eventually(async () => (await reloadsOf()) > before && status(), { timeoutMs: 20_000 });
}
const pathsOf = (changes: readonly { readonly path: string }[]) => changes.map(({ path }) => path);
const namesOf = async () =>
  (await gateway.rest("GET", "/gateways")).body.items.map(({ name }: { name: string }) => name).sort();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-reload-"));
  file = join(folder, "gateway.json");
  [first, second] = await Promise.all([startScriptedServer(), startScriptedServer()]);
  await write(base());
  const env = { ...secret, DATA_DIR: folder };
  command = runCommand(["serve", "--config", file], env);
  const minted = runCommand(["token"], env);
  const url = await command.url();
  await minted.code;
  gateway = gatewayClient(url, minted.out[0] ?? "");
});

afterAll(async () => {
  expect(await command.stop()).toBe(0);
  await Promise.all([first.close(), second.close()]);
  await rm(folder, { recursive: true, force: true });
});

describe("a configuration file that changes while the gateway runs", () => {
  it("upstreams are added, changed and removed, and the calls of the others go on", async () => {
    expect(await namesOf()).toEqual(["one"]);
    const session = await gateway.rpc("/mcp", {
      jsonrpc: "2.0",
      id: 1,
      method: "initialize",
      params: { protocolVersion: "2025-11-25" },
    });
    const two = { url: second.url, headers: { "X-Key": "first-of-all" } };
    const seen = await follow({ mcpServers: { ...base().mcpServers, two } });
    expect(pathsOf(seen.last.changes)).toEqual(["mcpServers.two"]);
    expect(JSON.stringify(seen)).not.toContain("first-of-all");
    expect(await namesOf()).toEqual(["one", "two"]);
    const called = await eventually(
      async () => {
        const params = { name: "two_read", arguments: {} };
        const { body } = await gateway.rpc("/mcp/http", {
          jsonrpc: "2.0",
          id: 2,
          method: "tools/call",
          params,
        });
        return body.result !== undefined && second.seen("tools/call").at(-1);
      },
      { timeoutMs: 20_000 },
    );
    expect(called?.headers["x-key"]).toBe("first-of-all");

    const changed = await follow({
      mcpServers: { ...base().mcpServers, two: { ...two, headers: { "X-Key": "second-of-all" } } },
    });
    expect(pathsOf(changed.last.changes)).toEqual(["mcpServers.two.headers.X-Key"]);
    await follow(base());
    expect(await namesOf()).toEqual(["one"]);
    const id = session.headers.get("mcp-session-id") ?? "";
    const ping = { jsonrpc: "2.0", id: 3, method: "ping" };
    expect((await gateway.rpc("/mcp", ping, { "mcp-session-id": id })).status).toBe(200);
  });

  it("rules of plugins, API keys, origins, limits and the log level are followed", async () => {
    const call = {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "one_read", arguments: {} },
    };
    const { key, sha256 } = newApiKey();
    const asKey = { authorization: `Bearer ${key}` };
    expect((await gateway.rpc("/mcp/http", call, asKey)).status).toBe(401);
    const seen = await follow({
      ...base(),
      auth: { apiKeys: [{ name: "ci", sha256 }] },
      plugins: [{ name: "rate_limiter", config: { rules: { by_user: "1/h" } } }],
      server: { allowedOrigins: ["https://a.example"] },
      limits: { streams: 1 },
    });
    expect(pathsOf(seen.last.changes)).toEqual([
      "server.allowedOrigins",
      "auth.apiKeys.ci",
      "plugins.rate_limiter",
      "limits.streams",
    ]);
    expect(JSON.stringify(seen)).not.toContain(sha256);
    expect(seen.needsRestart).toEqual([]);
    expect((await gateway.rpc("/mcp/http", call, asKey)).status).toBe(200);
    expect((await gateway.rpc("/mcp/http", call, asKey)).status).toBe(429);
    const origin = (name: string) => gateway.rpc("/mcp/http", call, { origin: name });
    expect((await origin("https://b.example")).status).toBe(403);
    expect((await origin("https://a.example")).status).toBe(200);
    const stream = () =>
      fetch(`${gateway.url}/sse`, { headers: { authorization: `Bearer ${gateway.token}` } });
    const open = await stream();
    expect([open.status, (await stream()).status]).toEqual([200, 503]);
    await open.body?.cancel();

    const back = await follow(base());
    expect(pathsOf(back.last.changes)).toContain("plugins.rate_limiter");
    expect((await gateway.rpc("/mcp/http", call, asKey)).status).toBe(401);
    for (let n = 0; n < 3; n++) expect((await gateway.rpc("/mcp/http", call)).status).toBe(200);
  });

  it("what only a restart applies is named and waits", async () => {
    const seen = await follow({ ...base(), server: { drainNoticeMs: 0 }, limits: { bodyBytes: 2_048 } });
    expect(pathsOf(seen.needsRestart)).toEqual(["server.drainNoticeMs", "limits.bodyBytes"]);
    expect(seen.last.changes).toEqual([]);
    expect(seen.config.limits.bodyBytes).toBe(4_194_304);
    expect((await follow(base())).needsRestart).toEqual([]);
  });

  it.each([
    ["with a misspelt key", { plugns: [] }, 'plugns: unknown key; did you mean "plugins"?'],
    ["that is no JSON", "{", "cannot be parsed"],
    ["with a plugin that does not exist", { plugins: [{ name: "retri" }] }, 'did you mean "retry"?'],
    [
      "with a rule that is none",
      { plugins: [{ name: "rate_limiter", config: { rules: { by_user: "many" } } }] },
      "plugins",
    ],
    ["with a key that is none", { auth: { publicKey: "none" } }, "auth.publicKey: is not a public key"],
  ])("a file %s is refused, and the former one stays", async (_, wrong, words) => {
    const { reloads, config } = await status();
    await write(typeof wrong === "string" ? wrong : { ...wrong, mcpServers: {} });
    command.hangUp();
    const refused = await eventually(async () => (await status()).refused ?? false, { timeoutMs: 20_000 });
    expect(refused.problems.join("\n")).toContain(words);
    expect(await status()).toMatchObject({ reloads, config });
    expect(await namesOf()).toEqual(["one"]);
    await write(base());
    command.hangUp();
    await eventually(async () => (await status()).refused === undefined, { timeoutMs: 20_000 });
    expect(await reloadsOf()).toBe(reloads);
  });

  it("SIGHUP reads it again at once; the admin scope alone sees it", async () => {
    const before = await reloadsOf();
    await write({ ...base(), limits: { streams: 7 } });
    command.hangUp();
    await eventually(async () => (await reloadsOf()) > before);
    expect((await status()).config.limits.streams).toBe(7);
    expect((await fetch(`${gateway.url}/admin/config`)).status).toBe(401);
  });
});

describe("gatewright config diff", () => {
  it("shows what differs between two files, and what needs a restart", async () => {
    const [old, next] = [join(folder, "old.json"), join(folder, "next.yaml")];
    await writeFile(old, JSON.stringify({ limits: { streams: 5 } }));
    await writeFile(
      next,
      "limits: { streams: 6 }\nserver: { port: 9000 }\nobservability: { logLevel: silent }\n",
    );
    const diff = runCommand(["config", "diff", next, "--config", old], { PORT: "" });
    expect(await diff.code).toBe(0);
    expect(diff.out).toEqual(["limits.streams: 5 → 6", "server.port: 8000 → 9000 (needs a restart)"]);
    const same = runCommand(["config", "diff", old, "--config", old], {});
    expect(await same.code).toBe(0);
    expect(same.out).toEqual(["Nothing differs."]);
    expect(await runCommand(["config", "diff"], {}).code).toBe(2);
    expect(await runCommand(["config", "diff", join(folder, "none.json")], {}).code).toBe(3);
  });
});
