import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RetryError } from "@gatewright/retry-backoff";
import { afterEach, describe, expect, it } from "vitest";
import { failureOf } from "../src/calls/call-failure.ts";
import { ConfigError } from "../src/config/config-error.ts";
import { gatewayConfig } from "../src/config/gateway-config.ts";
import { loadConfig } from "../src/config/load-config.ts";
import { RetryMetrics } from "../src/metrics/retry-metrics.ts";
import { wireRetry } from "../src/wiring/retry-backoff.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function load(config: unknown) {
  const folder = await mkdtemp(join(tmpdir(), "gatewright-retry-"));
  folders.push(folder);
  const file = join(folder, "gateway.json");
  await writeFile(file, JSON.stringify(config));
  return loadConfig({ file });
}

describe("retry policies of the configuration", () => {
  it("invalid ones are refused at load, each mistake with its path", async () => {
    const config = {
      maxRetries: -1,
      jiter: "full",
      overrides: { "pay_*": { baseMs: 0 } },
    };
    const refused = await load({ plugins: [{ name: "rate_limiter" }, { name: "retry", config }] }).catch(
      (error) => error,
    );
    expect(refused).toBeInstanceOf(ConfigError);
    const paths = (refused as ConfigError).problems.map((problem) => problem.path);
    expect(paths).toContain("plugins.1.config.maxRetries");
    expect(paths).toContain("plugins.1.config.jiter");
    expect(paths).toContain("plugins.1.config.overrides.pay_*.baseMs");
    expect(String(refused)).toContain("jitter");
    const crossed = load({ plugins: [{ name: "retry", config: { baseMs: 10, maxMs: 5 } }] });
    await expect(crossed).rejects.toThrow(/plugins\.0\.config\.maxMs: 5 is less than baseMs 10/);
  });

  it("limits of the layer itself are told in the gateway's own words", () => {
    expect(failureOf(new RetryError("shutdown", ""), "up").code).toBe("overloaded");
    for (const code of ["deadline", "attempt_timeout"] as const) {
      expect(failureOf(new RetryError(code, ""), "up").code).toBe("upstream_timeout");
    }
  });

  it("a misspelt key of `retry` names the nearest one", async () => {
    await expect(load({ retry: { budget: { rato: 0.1 } } })).rejects.toThrow(/retry\.budget/);
    await expect(load({ retry: { maxToolRetry: 1 } })).rejects.toThrow(/did you mean "maxToolRetries"/);
  });

  it("a policy over the ceiling is clamped with a warning; its budget outlives a new instance", async () => {
    const warnings: string[] = [];
    const config = gatewayConfig.parse({ retry: { maxToolRetries: 1 } });
    const { definition, layer } = await wireRetry(config, {
      metrics: new RetryMetrics(),
      circuitOpen: () => false,
      enabled: () => true,
      onWarning: (warning) => warnings.push(warning),
    });
    const host = {} as never;
    await definition.create({ maxRetries: 5, attemptTimeoutMs: 10 }, host);
    expect(warnings).toEqual([expect.stringContaining("clamped to 1")]);
    expect(layer.limitsOf("any", undefined)?.maxRetries).toBe(1);
    const before = await layer.budgets();
    await definition.create({}, host);
    expect(layer.limitsOf("any", undefined)).toBeUndefined();
    expect(await layer.budgets()).toEqual(before);
    layer.stop();
  });
});
