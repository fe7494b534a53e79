import cluster from "node:cluster";
import type { Logger } from "pino";
import type { CommandIo } from "../cli/command-io.ts";
import { exitCodes } from "../cli/command-io.ts";
import { portInUse } from "../cli/port-in-use.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { forkWorker } from "./fork-worker.ts";
import { holdPort, sharesPort } from "./shared-port.ts";
import { StartFailed, Supervisor } from "./supervisor.ts";
import { WorkerHub } from "./worker-hub.ts";

/** Beyond the gateway's own deadline a worker may take this much longer to end. */
const graceMs = 3_000;

/**
 * `gatewright serve` as the primary of several workers, which share one port; until it is asked to stop. Each worker
 * follows the configuration file, where there is one, by itself; SIGHUP is passed on.
 */
export async function runWorkers(
  config: GatewayConfig,
  io: CommandIo,
  logger: Logger,
  onListening: (url: string) => Promise<void>,
  followsFile: boolean,
): Promise<number> {
  // Maps and undefined survive the way.
  cluster.setupPrimary({ serialization: "advanced" });
  const supervisor = new Supervisor({
    count: config.server.workers,
    fork: forkWorker,
    hub: new WorkerHub(),
    logger,
    stopMs: config.server.shutdownDeadlineMs + graceMs,
  });
  let letGo: (() => void) | undefined;
  if (sharesPort(config.server)) {
    try {
      letGo = await holdPort(config.server);
    } catch (error) {
      return portInUse(error, io);
    }
  }
  const stopped = io.stopped();
  if (followsFile) io.onHangUp?.(() => supervisor.signal("SIGHUP"));
  try {
    const url = await Promise.race([supervisor.start(), stopped]);
    if (url !== undefined) await onListening(url);
  } catch (error) {
    await supervisor.stop();
    letGo?.();
    if (error instanceof StartFailed) return error.code;
    throw error;
  }
  await stopped;
  logger.info("stopping the workers");
  await supervisor.stop();
  letGo?.();
  return exitCodes.ok;
}
