import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { warmChildren } from "../upstreams/warm-children.ts";
import { replicaUrlOf } from "../wiring/replicas.ts";
import type { ForwardListener } from "../workers/forward-listener.ts";
import { sharesPort } from "../workers/shared-port.ts";
import { createApp } from "./create-app.ts";
import { createGatewayCore } from "./create-gateway-core.ts";
import { drainConnections } from "./drain-connections.ts";
import type { CoreDeps, GatewayCore } from "./gateway-core.ts";
import { describeListenFailure } from "./listen-failure.ts";
import { probePort } from "./probe-port.ts";

/** Watching the process itself begins a moment later, so that the first calls need not wait for what it loads. */
const watchAfterMs = 1_000;

/** A gateway that listens. */
export interface Gateway {
  /** Where it listens, without a slash at the end. */
  readonly url: string;
  readonly core: GatewayCore;
  readonly app: FastifyInstance;
  /**
   * Stops: `/ready` says 503 first, the port is closed, calls in flight end (until the deadline), then sessions,
   * children and the registry. Idempotent.
   */
  close(): Promise<void>;
}

/**
 * Starts a gateway, or what `makeApp` makes of its core.
 *
 * @throws {GatewayError} `conflict` when the port is in use
 */
export async function startGateway(
  config: GatewayConfig,
  deps: CoreDeps,
  makeApp: (core: GatewayCore) => Promise<FastifyInstance> = createApp,
): Promise<Gateway> {
  // The primary has seen to the port of its workers.
  if (deps.worker === undefined) await refuseTakenPort(config.server);
  const core = await createGatewayCore(config, deps);
  core.polling.start();
  let app: FastifyInstance;
  let forward: ForwardListener | undefined;
  try {
    app = await makeApp(core);
    const { host, port: wanted } = config.server;
    const reusePort = deps.worker !== undefined && sharesPort(config.server);
    await app.listen({ host, port: wanted, ...(reusePort && { reusePort }) });
    if (deps.worker !== undefined) {
      const { openForwardListener } = await import("../workers/forward-listener.ts");
      forward = await openForwardListener(app, config);
    }
    const { port } = app.server.address() as AddressInfo;
    await core.replicas.start(forward?.url ?? replicaUrlOf(config.server, port));
    setTimeout(() => core.metrics.watchProcess(), watchAfterMs).unref();
  } catch (cause) {
    forward?.close();
    await core.close(0);
    throw describeListenFailure(cause, config.server);
  }
  void core.refresher.ready().then(() => {
    const records = core.snapshots.current?.upstreams.values() ?? [];
    warmChildren(records, core.calls, config.auth.required);
  });
  let closing: Promise<void> | undefined;
  return {
    url: urlOf(app, config.server.host),
    core,
    app,
    close: () => {
      closing ??= stop(core, app).finally(() => forward?.close());
      return closing;
    },
  };
}

async function refuseTakenPort(server: GatewayConfig["server"]): Promise<void> {
  try {
    await probePort(server);
  } catch (cause) {
    throw describeListenFailure(cause, server);
  }
}

async function stop(core: GatewayCore, app: FastifyInstance): Promise<void> {
  const { shutdownDeadlineMs, drainNoticeMs } = core.config.server;
  const startedMs = performance.now();
  core.lifecycle.draining = true;
  core.sessions.endStreams();
  core.channels.drain();
  core.calls.listening.close();
  const noticeMs = Math.min(drainNoticeMs, shutdownDeadlineMs);
  if (noticeMs > 0) await new Promise((resolve) => setTimeout(resolve, noticeMs));
  core.lifecycle.stopping.abort();
  core.replicas.handOver();
  const handOver = setInterval(() => core.replicas.handOver(), 50);
  await drainConnections(app, shutdownDeadlineMs - noticeMs, () => {
    core.calls.retries.stop();
    core.channels.close();
    core.sessions.close();
  });
  clearInterval(handOver);
  const leftMs = Math.max(0, shutdownDeadlineMs - (performance.now() - startedMs));
  await core.close(Math.min(leftMs, 2_000));
}

function urlOf(app: FastifyInstance, host: string): string {
  const { port } = app.server.address() as AddressInfo;
  return `http://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
}
