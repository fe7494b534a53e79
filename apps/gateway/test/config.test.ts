import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConfigError } from "../src/config/config-error.ts";
import { isLoopbackHost, loadConfig } from "../src/config/load-config.ts";
import { nearestKey } from "../src/config/nearest-key.ts";
import { wirePipeline } from "../src/wiring/plugin-framework.ts";
import { wireRateLimiter } from "../src/wiring/rate-limiter.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-config-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

async function problemsOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).message;
}

describe("configuration", () => {
  it("has the documented defaults", async () => {
    const config = await loadConfig({});
    expect(config.server).toMatchObject({ host: "127.0.0.1", port: 8000, workers: 1 });
    expect(config.limits).toMatchObject({ bodyBytes: 4_194_304, jsonDepth: 256 });
    expect(config.retry.maxToolRetries).toBe(3);
    expect(config.auth).toMatchObject({ required: true, audience: "gatewright" });
  });

  it("reads YAML, JSON and a client's mcpServers as it is", async () => {
    const yaml = await loadConfig({ file: await file("a.yaml", "server:\n  port: 9001\n") });
    expect(yaml.server.port).toBe(9001);
    const client = {
      mcpServers: {
        git: {
          command: "uvx",
          args: ["mcp-server-git"],
          env: { A: "b" },
          disabled: false,
          autoApprove: ["x"],
        },
        web: {
          type: "streamable-http",
          url: "https://example.com/mcp",
          headers: { "X-Key": "k" },
          timeout: 60,
        },
      },
    };
    const json = await loadConfig({ file: await file("a.json", JSON.stringify(client)) });
    expect(Object.keys(json.mcpServers)).toEqual(["git", "web"]);
    expect((await loadConfig({ file: await file("empty.yaml", "") })).server.port).toBe(8000);
  });

  it("prefers flags to the environment, that to the file, and that to defaults", async () => {
    const path = await file(
      "p.yaml",
      "server:\n  port: 1\n  host: 127.0.0.2\nobservability:\n  logLevel: debug\n",
    );
    const flags = [{ path: ["server", "port"], value: 3, source: "flag --port" }];
    const config = await loadConfig({ flags, env: { PORT: "2", HOST: "127.0.0.3" }, file: path });
    expect(config.server).toMatchObject({ port: 3, host: "127.0.0.3" });
    expect(config.observability.logLevel).toBe("debug");
  });

  it("takes everything else as GATEWRIGHT_<PATH>__<KEY>", async () => {
    const config = await loadConfig({
      env: {
        GATEWRIGHT_SESSIONS__ACQUIRE_TIMEOUT_MS: "1234",
        GATEWRIGHT_SERVER__SSRF__ALLOW_PRIVATE: "no",
        GATEWRIGHT_PLUGINS: '[{"name":"retry","mode":"disabled"}]',
        TRUSTED_PROXIES: "10.0.0.1, 10.0.0.2",
        AUTH_REQUIRED: "0",
        GATEWRIGHT_SECRET: "not a setting",
        GATEWRIGHT_UNRELATED: "x",
        OTHER: "y",
        DATABASE_URL: "",
      },
    });
    expect(config.sessions.acquireTimeoutMs).toBe(1234);
    expect(config.server.ssrf.allowPrivate).toBe(false);
    expect(config.plugins[0]).toMatchObject({ name: "retry", mode: "disabled" });
    expect(config.server.trustedProxies).toEqual(["10.0.0.1", "10.0.0.2"]);
    expect(config.auth.required).toBe(false);
  });

  it("names a misspelt key's path, its source and the nearest right one", async () => {
    const path = await file("w.yaml", "limits:\n  bodyByte: 1\nmcpServers:\n  a: { comand: x }\n  b: {}\n");
    const text = await problemsOf(loadConfig({ file: path }));
    expect(text).toContain('limits.bodyByte: unknown key; did you mean "bodyBytes"?');
    expect(text).toContain('mcpServers.a.comand: unknown key; did you mean "command"?');
    expect(text).toContain("mcpServers.b: needs either `command` or `url`");
    expect(text).toContain(path);
    const env = await problemsOf(loadConfig({ env: { GATEWRIGHT_SESIONS__MAX_TOTAL: "1", PORT: "http" } }));
    expect(env).toContain(
      'SESIONS: unknown key; did you mean "sessions"? (environment GATEWRIGHT_SESIONS__MAX_TOTAL)',
    );
    expect(env).toContain("server.port");
    expect(env).toContain("environment PORT");
    expect(await problemsOf(loadConfig({ env: { GATEWRIGHT_SERVER__ZZZZ: "1" } }))).toContain(
      "server.ZZZZ: unknown key",
    );
    const far = await file("far.yaml", "zzzzzzzzzz: 1\n");
    expect(await problemsOf(loadConfig({ file: far }))).toContain("known keys: server");
  });

  it("refuses files that cannot be read or parsed, with one sentence", async () => {
    expect(await problemsOf(loadConfig({ file: join(folder, "none.yaml") }))).toContain("no such file");
    expect(await problemsOf(loadConfig({ file: await file("b.json", "{") }))).toContain("cannot be parsed");
    for (const [name, text] of [
      ["c.json", '{"password": hunter2}'],
      ["d.yaml", "password: *hunter2"],
    ] as const) {
      const problems = await problemsOf(loadConfig({ file: await file(name, text) }));
      expect(problems).toContain("cannot be parsed: a syntax error");
      expect(problems).not.toContain("hunter2");
    }
    expect(await problemsOf(loadConfig({ file: await file("l.yaml", "- 1\n") }))).toContain(
      "object at its top",
    );
    expect(await problemsOf(loadConfig({ file: folder }))).toContain("cannot be read");
  });

  it("refuses combinations that cannot work here", async () => {
    const text = await problemsOf(
      loadConfig({
        env: {
          AUTH_REQUIRED: "false",
          HOST: "0.0.0.0",
          WORKERS: "2",
          DATABASE_URL: "sqlite:x.db",
          REDIS_URL: "redis://a",
          GATEWRIGHT_DATABASE__POOL: '{"min":9}',
          GATEWRIGHT_PLUGINS: '[{"name":"retry"},{"name":"retry"}]',
        },
      }),
    );
    for (const path of ["auth.required", "server.workers", "database.pool.min", "plugins"]) {
      expect(text).toContain(`${path}: `);
    }
  });

  it("takes SQLite files and PostgreSQL with several hosts, and no other database", async () => {
    for (const url of ["sqlite:x.db", "postgres://u:p@a,b:5433/db", "postgresql://a/db"]) {
      expect((await loadConfig({ env: { DATABASE_URL: url } })).database.url).toBe(url);
    }
    const text = await problemsOf(loadConfig({ env: { DATABASE_URL: "mysql://u:pass@a/b" } }));
    expect(text).toContain("database.url: has to begin with sqlite: or postgres://");
    expect(text).not.toContain("pass");
  });

  it("knows loopback addresses", () => {
    expect(["localhost", "127.0.0.1", "127.9.9.9", "::1"].every(isLoopbackHost)).toBe(true);
    expect(["0.0.0.0", "10.0.0.1", "::", "example.com"].some(isLoopbackHost)).toBe(false);
  });

  it("finds the nearest key, transpositions included, and none that is far", () => {
    expect(nearestKey("prot", ["host", "port"])).toBe("port");
    expect(nearestKey("x", ["server"])).toBeUndefined();
  });
});

describe("plugins of the configuration", () => {
  it("an unknown plugin, an unknown rule and a bad rate are refused with their path", async () => {
    const plugins = {
      rate_limiter: await wireRateLimiter({ redis: undefined, replicas: () => 1, observer: {} }),
    };
    const wire = async (entries: unknown) =>
      wirePipeline(await loadConfig({ env: { GATEWRIGHT_PLUGINS: JSON.stringify(entries) } }), plugins, {});
    expect(await problemsOf(wire([{ name: "rate_limitr" }]))).toContain('did you mean "rate_limiter"?');
    expect(await problemsOf(wire([{ name: "zzz" }]))).toContain("known: rate_limiter");
    const off = { name: "retry", mode: "disabled" };
    const bad = { name: "rate_limiter", config: { rules: { by_user: "0/m" } } };
    expect(await problemsOf(wire([bad, off]).catch((error) => Promise.reject(error)))).toContain("plugins");
  });
});
