import { eventually, type RedisServer, type StartRedisOptions, startRedis } from "@gatewright/testkit";
import type { Redis } from "ioredis";
import { it } from "vitest";
import {
  type ControlRecord,
  createPluginPipeline,
  type PipelineDeps,
  type PipelineResult,
  type PluginDefinition,
  type PluginPipeline,
  unpackRecord,
} from "../src/index.ts";
import { controlKey, createRedisBus } from "../src/redis/index.ts";
import { emptyWithOldList, toolCall } from "./support.ts";

/** A Redis of a test's own, and replicas over it. */
export interface RedisStage {
  readonly redis: RedisServer;
  readonly raw: Redis;
  /** Connections that are ready. */
  connect(more?: object): Promise<{ readonly client: Redis; readonly subscriber: Redis }>;
  replica(
    use: PluginDefinition | readonly PluginDefinition[],
    deps?: Partial<PipelineDeps>,
    mode?: "enforce" | "disabled",
  ): Promise<PluginPipeline>;
  call(pipeline: PluginPipeline, tenantId?: string): Promise<PipelineResult<unknown>>;
  /** The record in a lane. */
  stored(lane: string, plugin?: string): Promise<ControlRecord | undefined>;
}

async function startStage(options: StartRedisOptions): Promise<RedisStage & AsyncDisposable> {
  const redis = await startRedis(options);
  const raw = redis.client();
  await emptyWithOldList(raw);
  const pipelines: PluginPipeline[] = [];
  const connect: RedisStage["connect"] = async (more = {}) => {
    const client = redis.client({ enableOfflineQueue: false, commandTimeout: 5_000, ...more });
    const subscriber = redis.client({ maxRetriesPerRequest: null, ...more });
    await eventually(() => client.status === "ready" && subscriber.status === "ready");
    return { client, subscriber };
  };
  return {
    redis,
    raw,
    connect,
    async replica(use, deps = {}, mode = "enforce") {
      const bus = deps.bus ?? createRedisBus(await connect());
      const plugins = [use].flat().map((one) => ({ use: one, mode }));
      const pipeline = await createPluginPipeline({ plugins }, { ...deps, bus });
      pipelines.push(pipeline);
      return pipeline;
    },
    async call(pipeline, tenantId) {
      const tenant = tenantId === undefined ? {} : { tenantId };
      using scope = pipeline.begin({ requestId: "r", user: "ann", ...tenant });
      return await scope.invoke("tool_pre_invoke", toolCall);
    },
    stored: async (lane, plugin = "guard") =>
      unpackRecord((await raw.get(controlKey("gw", plugin, lane))) ?? ""),
    async [Symbol.asyncDispose]() {
      await Promise.all(pipelines.map((pipeline) => pipeline.close()));
      await redis.close();
    },
  };
}

/** `it` with a Redis of its own for each test: those that wait can wait side by side. */
export const itOverRedis = it.extend<{ stage: RedisStage; persist: boolean }>({
  persist: false,
  stage: async ({ persist }, use) => {
    await using stage = await startStage({ persist });
    await use(stage);
  },
});
