import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import {
  type ControlBus,
  createInProcessBus,
  type PipelineDeps,
  type PipelineObserver,
  type PluginPipeline,
  type SavedOverride,
  scopeText,
} from "@gatewright/plugin-framework";
import type { Logger } from "pino";
import { GatewayError } from "../errors.ts";
import { type AckFeed, createAckFeed } from "../redis/ack-feed.ts";
import { createRedisNotes } from "../redis/note-store.ts";
import type { RedisConnections } from "../redis/redis-connections.ts";
import { ReplicaBoard } from "../redis/replica-board.ts";
import type { PluginStore } from "../registry/plugin-store.ts";
import type { WorkerLink } from "../workers/worker-link.ts";
import { PluginJournal } from "./plugin-journal.ts";

/** The live switch of plugin modes on this replica. */
export interface PluginControl {
  /** What the pipeline is made with. */
  readonly deps: Required<Pick<PipelineDeps, "bus" | "replica" | "overrides">>;
  readonly observer: PipelineObserver;
  readonly acks: AckFeed;
  readonly board: ReplicaBoard;
  readonly journal: PluginJournal;
  /** Puts back the overrides that the registry kept, where the registry could not be read before. */
  restore(): Promise<void>;
  /** Begins to tell the other replicas what this one follows. */
  start(pipeline: PluginPipeline): Promise<void>;
  /** Ends that, and waits for the journal. */
  stop(): Promise<void>;
}

/**
 * Control records in Redis, or without it in the primary of several workers, or in this process; overrides that the registry kept are put back.
 *
 * @param readable whether the registry can be read yet; else {@link PluginControl.restore} reads it later
 */
export async function createPluginControl(
  redis: RedisConnections | undefined,
  store: PluginStore,
  logger: Logger,
  readable: boolean,
  worker?: WorkerLink | undefined,
): Promise<PluginControl> {
  const replica = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  const bus = redis === undefined ? (worker?.bus() ?? createInProcessBus()) : await redisBus(redis);
  const acks = createAckFeed(bus);
  const notes = redis === undefined ? worker?.notes : createRedisNotes(redis);
  const board = new ReplicaBoard({ replica, bus, notes });
  const journal = new PluginJournal(store, (error, unwritten) =>
    logger.warn({ err: error, unwritten }, "modes not written down yet"),
  );
  const known = readable ? await store.overrides().catch(() => undefined) : undefined;
  let restored = known !== undefined;
  return {
    deps: { bus: acks.bus, replica, overrides: known ?? [] },
    async restore() {
      if (restored) return;
      for (const override of await store.overrides()) await putBack(bus, override);
      restored = true;
    },
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
        const bad = ["store_unreachable", "record_lost", "subscription_failed"].includes(alert.kind);
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
      await Promise.all([board.stop(), journal.close()]);
      await bus.close();
    },
  };
}

/**
 * Gives the bus a record that it does not have, as a switch would; every replica then follows it. A record that the bus
 * has was made since it lost what was kept, and is the newer one whatever its number: it gets the next.
 */
async function putBack(bus: ControlBus, { scope, record }: SavedOverride): Promise<void> {
  const text = scopeText(scope);
  try {
    const [stored] = await bus.read([text]);
    if ((stored?.rev ?? 0) >= record.rev) return;
    const next =
      stored === undefined
        ? record
        : { ...stored, rev: record.rev + 1, wipeSeq: Math.max(stored.wipeSeq, record.wipeSeq) };
    const { written } = await bus.write(text, next, stored?.rev ?? 0);
    if (written) await bus.publish({ scope: text, rev: next.rev });
  } catch (cause) {
    throw new GatewayError("backend_unavailable", "the modes of plugins cannot be shared now", { cause });
  }
}

async function redisBus({ commands: client, subscriber, prefix }: RedisConnections): Promise<ControlBus> {
  const { createRedisBus } = await import("@gatewright/plugin-framework/redis");
  return createRedisBus({ client, subscriber, prefix });
}
