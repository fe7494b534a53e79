import { type RedisServer, startRedis } from "@gatewright/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type ControlBus,
  createInProcessBus,
  createPluginPipeline,
  type PipelineConfig,
  PluginError,
  type SetModeOptions,
} from "../src/index.ts";
import { createRedisBus } from "../src/redis/index.ts";
import { emptyWithOldList, toolPlugin } from "./support.ts";

/** Half of a character beyond the first 65 536: no UTF-8, and no percent-escape, stands for it. */
const lone = "\ud800";
const guard = { use: toolPlugin("guard", () => undefined) };
const refused = { code: "validation_failed", message: expect.stringContaining("well-formed") };

describe("a text with a lone surrogate", () => {
  it("is refused as tenant and as setBy; nothing is switched", async () => {
    await using pipeline = await createPluginPipeline({ plugins: [guard] });
    for (const options of [{ tenant: lone }, { setBy: `ann${lone}` }] satisfies SetModeOptions[]) {
      await expect(pipeline.setMode("guard", "disabled", options)).rejects.toMatchObject(refused);
      await expect(pipeline.clearMode("guard", options)).rejects.toMatchObject(refused);
    }
    expect(pipeline.explainMode("guard")).toMatchObject({ mode: "enforce", rev: 0 });
  });

  it.each<[string, PipelineConfig]>([
    ["a plugin's name", { plugins: [{ ...guard, name: lone }] }],
    ["a definition's name", { plugins: [{ use: { ...guard.use, name: lone } }] }],
    ["a binding's tenant", { plugins: [guard], bindings: [{ plugin: "guard", tenant: lone }] }],
    ["a condition", { plugins: [{ ...guard, conditions: [{ tenantIds: [`a${lone}*`] }] }] }],
  ])("is refused as %s", async (_, config) => {
    await expect(createPluginPipeline(config)).rejects.toMatchObject(refused);
  });
});

describe("a switch that fails", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.close());

  function failing(error: unknown): ControlBus {
    const bus = createInProcessBus();
    return { ...bus, synchronous: false, write: () => Promise.reject(error) };
  }

  it("is made here alone when the store is out of reach, and passed on when a program is at fault", async () => {
    const away = new TypeError("fetch failed", { cause: new Error("ECONNREFUSED") });
    for (const error of [new Error("Connection is closed."), away, "gone"]) {
      await using pipeline = await createPluginPipeline({ plugins: [guard] }, { bus: failing(error) });
      const report = await pipeline.setMode("guard", "disabled");
      expect(report).toMatchObject({ mode: "disabled", guarantee: "best-effort", committedAt: undefined });
    }
    for (const error of [new TypeError("x is not a function"), new URIError("URI malformed")]) {
      await using pipeline = await createPluginPipeline({ plugins: [guard] }, { bus: failing(error) });
      await expect(pipeline.setMode("guard", "disabled")).rejects.toBe(error);
      expect(pipeline.explainMode("guard")).toMatchObject({ mode: "enforce", rev: 0 });
      expect(PluginError.is(error)).toBe(false);
    }
  });

  it("leaves every replica as it was, and the next switch reaches them all", async () => {
    const clients = Array.from({ length: 4 }, () => redis.client());
    await using closed = new AsyncDisposableStack();
    closed.defer(() => {
      for (const client of clients) client.disconnect();
    });
    const [first, hears, second, hearsToo] = clients as [Redis, Redis, Redis, Redis];
    await emptyWithOldList(first);
    const bus = createRedisBus({ client: first, subscriber: hears });
    const other = createRedisBus({ client: second, subscriber: hearsToo });
    await using one = await createPluginPipeline({ plugins: [guard] }, { bus });
    await using two = await createPluginPipeline({ plugins: [guard] }, { bus: other });
    await expect(one.setMode("guard", "disabled", { setBy: lone })).rejects.toMatchObject(refused);
    for (const pipeline of [one, two]) expect(pipeline.explainMode("guard").mode).toBe("enforce");
    expect(await one.setMode("guard", "permissive")).toMatchObject({ converged: true, rev: 1 });
    for (const pipeline of [one, two]) expect(pipeline.explainMode("guard").mode).toBe("permissive");
  });
});
