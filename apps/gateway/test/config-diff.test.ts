import { describe, expect, it } from "vitest";
import { gatewayConfig } from "../src/config/gateway-config.ts";
import { diffConfig } from "../src/reload/config-diff.ts";
import { effectiveConfig } from "../src/reload/effective-config.ts";

const config = (value: object) => gatewayConfig.parse(value);

describe("the diff of two configurations", () => {
  it("names every value that differs by its path, plugins by their names", () => {
    const from = config({
      plugins: [{ name: "rate_limiter", config: { rules: { by_user: "30/m" } } }],
      mcpServers: { old: { command: "old" } },
      limits: { streams: 5 },
    });
    const to = config({
      plugins: [{ name: "retry" }, { name: "rate_limiter", config: { rules: { by_user: "60/m" } } }],
      mcpServers: { new: { url: "http://127.0.0.1:1/mcp" } },
      limits: { streams: 6 },
    });
    const changes = diffConfig(from, to);
    expect(changes.map(({ path }) => path)).toEqual([
      "plugins.rate_limiter.config.rules.by_user",
      "plugins.retry",
      "mcpServers.old",
      "mcpServers.new",
      "limits.streams",
    ]);
    expect(changes[0]).toMatchObject({ from: '"30/m"', to: '"60/m"' });
    expect(changes[1]).toMatchObject({ from: "(not set)" });
    expect(changes[4]).toMatchObject({ from: "5", to: "6" });
    expect(diffConfig(from, from)).toEqual([]);
  });

  it("shows no secret, and still that it has changed", () => {
    const secret = (n: number) =>
      config({
        database: { url: `postgres://gw:pass-word-${n}@a,b/db?password=pass-word-${n}` },
        redis: { sentinel: { name: "m", nodes: ["127.0.0.1:1"], password: `pass-word-${n}` } },
        auth: { apiKeys: [{ name: "ci", sha256: `${n}`.repeat(64) }] },
        plugins: [
          { name: "dlp", mcp: { url: `http://u:pass-word-${n}@127.0.0.1:1/mcp`, hooks: {} } },
          { name: "own", module: "./a.mjs", config: { key: `pass-word-${n}` } },
        ],
        mcpServers: {
          a: {
            command: "a",
            args: ["--token", `pass-word-${n}`],
            env: { TOKEN: `pass-word-${n}` },
          },
          b: {
            url: `https://u:pass-word-${n}@b.example/mcp?key=pass-word-${n}`,
            headers: { "X-Key": `pass-word-${n}` },
            auth: { type: "bearer", token: `pass-word-${n}` },
          },
        },
      });
    const changes = diffConfig(secret(1), secret(2));
    expect(changes.map(({ path }) => path)).toEqual([
      "auth.apiKeys.ci.sha256",
      "database.url",
      "redis.sentinel.password",
      "plugins.dlp.mcp.url",
      "plugins.own.config.key",
      "mcpServers.a.args",
      "mcpServers.a.env.TOKEN",
      "mcpServers.b.url",
      "mcpServers.b.headers.X-Key",
      "mcpServers.b.auth.token",
    ]);
    const text = JSON.stringify(changes);
    expect(text).not.toContain("pass-word");
    expect(text).not.toContain("1111");
    expect(text).toContain("b.example");
    const whole = diffConfig(config({}), secret(1));
    expect(JSON.stringify(whole)).not.toMatch(/pass-word|1111/);
    expect(JSON.stringify(whole)).toContain("bearer");
  });

  it("a long value is shortened", () => {
    const names = Array.from({ length: 200 }, (_, n) => `https://${n}.example`);
    const [change] = diffConfig(config({}), config({ server: { allowedOrigins: names } }));
    expect(change?.to.length).toBeLessThanOrEqual(300);
  });
});

describe("what a running gateway takes", () => {
  it("is named; the rest stays as it was started with", () => {
    const started = config({});
    const next = config({
      server: { port: 1, host: "127.0.0.2", allowedOrigins: ["https://a.example"] },
      auth: { required: false, audience: "other" },
      redis: { url: "redis://127.0.0.1:1" },
      retry: { maxToolRetries: 1 },
      classifier: { enabled: false },
      limits: { streams: 1, bodyBytes: 2_048 },
      plugins: [{ name: "retry" }],
      mcpServers: { a: { command: "a" } },
      observability: { logLevel: "warn", processMetrics: false },
    });
    const effective = effectiveConfig(started, next);
    expect(diffConfig(started, effective).map(({ path }) => path)).toEqual([
      "server.allowedOrigins",
      "auth.audience",
      "plugins.retry",
      "mcpServers.a",
      "limits.streams",
      "observability.logLevel",
    ]);
    expect(diffConfig(effective, next).map(({ path }) => path)).toEqual([
      "server.host",
      "server.port",
      "auth.required",
      "redis.url",
      "limits.bodyBytes",
      "retry.maxToolRetries",
      "classifier.enabled",
      "observability.processMetrics",
    ]);
  });
});
