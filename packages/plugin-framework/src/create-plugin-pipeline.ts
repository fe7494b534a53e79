import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { systemClock } from "./clock.ts";
import { DEFAULT_TIMING } from "./control/control-timing.ts";
import { createInProcessBus } from "./control/in-process-bus.ts";
import { knownHooks } from "./hook-registry.ts";
import { LivePipeline } from "./live-pipeline.ts";
import { parseStrictly } from "./parse-strictly.ts";
import { type PipelineConfig, pipelineConfigSchema } from "./pipeline-config.ts";
import type { PipelineDeps, PluginPipeline } from "./plugin-pipeline.ts";

/**
 * Makes a pipeline: checks the configuration, reads the control records, starts the plugins that are not disabled.
 *
 * A plugin whose `initialize` throws does not stop the pipeline: it is reported to the observer, and its calls
 * follow its `onError`. A bus that cannot be reached does not either: the file's modes serve until it can.
 *
 * @throws PluginConfigError naming the path of everything wrong.
 */
export async function createPluginPipeline(
  config: PipelineConfig,
  deps: PipelineDeps = {},
): Promise<PluginPipeline> {
  const parsed = parseStrictly(pipelineConfigSchema, config);
  const clock = deps.clock ?? systemClock;
  const pipeline = new LivePipeline(parsed, {
    clock,
    bus: deps.bus ?? createInProcessBus({ clock }),
    replica: deps.replica ?? `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`,
    observer: deps.observer,
    random: deps.random ?? Math.random,
    hooks: knownHooks(deps.hooks),
    overrides: deps.overrides ?? [],
    timing: { ...DEFAULT_TIMING, ...deps.timing },
  });
  await pipeline.start();
  return pipeline;
}
