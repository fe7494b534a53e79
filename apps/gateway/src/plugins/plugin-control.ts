import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import {
  createInProcessBus,
  type PipelineDeps,
  type PipelineObserver,
  type PluginPipeline,
} from "@gatewright/plugin-framework";
import { createRedisBus } from "@gatewright/plugin-framework/redis";
import type { Logger } from "pino";
import { type AckFeed, createAckFeed } from "../redis/ack-feed.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import { ReplicaBoard } from "../redis/replica-board.ts";
import type { PluginStore } from "../registry/plugin-store.ts";
import { PluginJournal } from "./plugin-journal.ts";

/** The live switch of plugin modes on this replica. */
export interface PluginControl {
  /** What the pipeline is made with. */
  readonly deps: Required<Pick<PipelineDeps, "bus" | "replica" | "overrides">>;
  readonly observer: PipelineObserver;
  readonly acks: AckFeed;
  readonly board: ReplicaBoard;
  readonly journal: PluginJournal;
  /** Begins to tell the other replicas what this one follows. */
  start(pipeline: PluginPipeline): Promise<void>;
  /** Ends that, and waits for the journal. */
  stop(): Promise<void>;
}

/** Control records in Redis, or in this process without it; overrides that the registry kept are put back. */
export async function createPluginControl(
  redis: RedisConnections | undefined,
  store: PluginStore,
  logger: Logger,
): Promise<PluginControl> {
  const replica = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  const bus =
    redis === undefined
      ? createInProcessBus()
      : createRedisBus({ client: redis.commands, subscriber: redis.subscriber, prefix: redis.prefix });
  const acks = createAckFeed(bus);
  const board = new ReplicaBoard({ replica, bus, redis });
  const journal = new PluginJournal(store, (error) => logger.warn({ err: error }, "modes not written down"));
  return {
    deps: { bus: acks.bus, replica, overrides: await store.overrides() },
    observer: {
      controlRecord: (scope, record) => {
        journal.observer.controlRecord?.(scope, record);
        void board.tell();
      },
      modeChange: (event) => {
        journal.observer.modeChange?.(event);
        logger.info({ event }, "a plugin's mode changed");
      },
      controlAlert: (alert) => {
        const bad = alert.kind === "store_unreachable" || alert.kind === "record_lost";
        logger[bad ? "warn" : "info"]({ alert }, "control record");
      },
      lifecycleFailure: ({ plugin, step, error }) =>
        logger.error({ plugin, step, err: error }, "a plugin failed"),
    },
    acks,
    board,
    journal,
    start: (pipeline) =>
      board.start(() =>
        pipeline
          .list()
          .map(({ plugin, mode, layer, rev, degraded }) => ({ plugin, mode, layer, rev, degraded })),
      ),
    async stop() {
      await Promise.all([board.stop(), journal.settled()]);
      await bus.close();
    },
  };
}
