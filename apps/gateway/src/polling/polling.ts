import type { NotificationHub } from "@gatewright/mcp-bridge/bridge";
import type { UpstreamMessage, UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { Classifier, ClassifierStore } from "@gatewright/server-classifier";
import type { Logger } from "pino";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { ClassifierMetrics } from "../metrics/classifier-metrics.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import type { Registry } from "../registry/registry.ts";
import type { SnapshotHolder } from "../registry/snapshot.ts";
import type { ListingRules } from "../upstreams/discover.ts";
import { Refresher } from "../upstreams/refresher.ts";
import { type ClassifierWiring, wireClassifier } from "../wiring/server-classifier.ts";
import { ChangeListener } from "./change-listener.ts";
import { ChangeNotices } from "./change-notices.ts";
import { OutcomeLog } from "./outcome-log.ts";
import { Poller } from "./poller.ts";

/** What polling works with. */
export interface PollingDeps {
  readonly config: GatewayConfig;
  readonly registry: Registry;
  readonly snapshots: SnapshotHolder;
  readonly pool: ClassifierWiring["pool"];
  /** State shared with other replicas, if there is any. */
  readonly store?: ClassifierStore | undefined;
  /** Whether this replica polls at all; true by default. */
  readonly polls?: boolean;
  /** Runs `use` with a session of the gateway's own. */
  readonly withSession: <T>(
    record: UpstreamRecord,
    use: (session: UpstreamSession) => Promise<T>,
  ) => Promise<T>;
  readonly listing: ListingRules;
  /** Where changes of the lists of upstreams are heard. */
  readonly hub: NotificationHub;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** Classification of the upstreams, and the polls that follow from it. */
export interface Polling {
  readonly classifier: Classifier;
  readonly refresher: Refresher;
  /** Takes whatever an upstream says on its own. */
  hear(upstreamId: string, message: UpstreamMessage): void;
  start(): void;
  /** Ends polls and hands leadership on. */
  stop(): Promise<void>;
}

/** Puts classifier, poller and refresher together. Nothing runs yet. */
export function createPolling(deps: PollingDeps): Polling {
  const { config, registry, snapshots, pool, store, withSession, metrics, logger } = deps;
  const own = new ClassifierMetrics();
  // Without classification nobody leads, so each replica listens for itself.
  let leader = !config.classifier.enabled;
  const classifier = wireClassifier({
    config: config.classifier,
    pool,
    snapshot: () => snapshots.current,
    store,
    observer: observerOf(own, logger, (now) => {
      leader = now;
      listen();
    }),
  });
  for (const source of own.sources(classifier, () => snapshots.current?.upstreams.values() ?? [])) {
    metrics.add(source);
  }
  const outcomes = new OutcomeLog(logger);
  const onError = (error: unknown) => logger.warn({ err: error }, "a poll could not be booked");
  const refresher: Refresher = new Refresher({
    registry,
    snapshots,
    withSession,
    listing: deps.listing,
    readyTimeoutMs: config.bridge.connectTimeoutMs,
    onListed: (record, outcome) => {
      outcomes.tell(record, outcome.failure);
      poller.listed(record, outcome).catch(onError);
    },
  });
  const poller = new Poller({
    schedule: classifier.schedule,
    registry,
    snapshots,
    refresher,
    withSession,
    healthTimeoutMs: config.bridge.listTimeoutMs,
    claimMs: config.classifier.claimMs,
    offlineAfterFailures: config.classifier.offlineAfterFailures,
    onPoll: (record, pollType, failure) => {
      own.polled(pollType, failure);
      outcomes.tell(record, failure, pollType);
    },
    onError,
  });
  // A poll begins after the debounce, so notices heard within half of it are the same news.
  const notices = new ChangeNotices(config.classifier.debounceMs / 2, (id) => {
    const record = snapshots.current?.upstreams.get(id);
    if (record !== undefined) poller.listChanged(record).catch(onError);
  });
  const hear = (upstreamId: string, message: UpstreamMessage) => notices.hear(upstreamId, message);
  const listener = new ChangeListener({
    hub: deps.hub,
    maxUpstreams: config.classifier.maxChangeStreams,
    hear,
  });
  let stopped = false;
  const listen = () => {
    if (!stopped) listener.follow(leader ? (snapshots.current?.upstreams.values() ?? []) : []);
  };
  snapshots.onSnapshot(({ upstreams }) => {
    notices.keepOnly(upstreams);
    outcomes.keepOnly(upstreams);
    listen();
  });
  return {
    classifier,
    refresher,
    hear,
    start() {
      classifier.start();
      if (deps.polls !== false) poller.start();
      listen();
    },
    async stop() {
      stopped = true;
      listener.close();
      await poller.stop();
      await classifier.stop();
      await store?.close();
    },
  };
}

/** Counts, and logs the first failure of a row as a warning: while Redis is away there are many. */
function observerOf(
  own: ClassifierMetrics,
  logger: Logger,
  onLeader: (leader: boolean) => void,
): ClassifierWiring["observer"] {
  let failing = false;
  return {
    ...own.observer,
    onCycle(event) {
      own.observer.onCycle(event);
      if (failing) logger.info("the shared classification works again");
      failing = false;
    },
    onLeader(event) {
      own.observer.onLeader(event);
      onLeader(event.leader);
      logger.info(event, event.leader ? "leads the classification" : "leads the classification no more");
    },
    onError(error) {
      own.observer.onError(error);
      logger[failing ? "debug" : "warn"]({ err: error }, "the shared classification cannot be reached");
      failing = true;
    },
  };
}
