import type { Gateway } from "../app/gateway.ts";
import { tuneV8 } from "../app/tune-v8.ts";
import { mintToken } from "../auth/mint-token.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { followConfig } from "../reload/follow-config.ts";
import { type GatewaySecret, loadSecret } from "../secret/gateway-secret.ts";
import { sharedBy } from "../secret/shared-by.ts";
import type { WorkerLink } from "../workers/worker-link.ts";
import { workerVariable } from "../workers/worker-variable.ts";
import { configFileOf, loadCommandConfig } from "./command-config.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { createLogger } from "./create-logger.ts";
import { demoLines, demoUser, withDemoServer } from "./demo.ts";
import { parseFlags } from "./flags.ts";
import { portInUse } from "./port-in-use.ts";

/** `gatewright serve`: runs a gateway until the process is asked to stop. */
export async function serve(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseFlags(args, { demo: { type: "boolean" } });
  tuneV8();
  const demo = values["demo"] === true;
  const load = async () => {
    const loaded = await loadCommandConfig(values, io);
    return demo ? withDemoServer(loaded) : loaded;
  };
  const config = await load();
  const secret = loadSecret(config.server.dataDir, io.env, sharedBy(config));
  const logger = createLogger(config);
  const announce = async (url: string) => {
    io.out(`Gatewright listens on ${url}`);
    if (demo) for (const line of demoLines(url, await demoToken(config, secret))) io.out(line);
  };
  const worker = await workerOf(config, io);
  if (config.server.workers > 1 && worker === undefined) {
    const { runWorkers } = await import("../workers/run-workers.ts");
    return runWorkers(config, io, logger, announce, configFileOf(values, io) !== undefined);
  }
  const stopped = io.stopped();
  let gateway: Gateway;
  // The primary of several workers runs none of it.
  const { startGateway } = await import("../app/gateway.ts");
  try {
    gateway = await startGateway(config, { secret, logger, worker });
  } catch (error) {
    return portInUse(error, io);
  }
  if (worker === undefined) await announce(gateway.url);
  else worker.primary.tell("listening", gateway.url);
  const file = configFileOf(values, io);
  const { liveConfig: live } = gateway.core;
  const { onHangUp } = io;
  const stopFollowing = file === undefined ? undefined : followConfig({ file, load, live, logger, onHangUp });
  await stopped;
  stopFollowing?.();
  logger.info("stopping");
  await gateway.close();
  return exitCodes.ok;
}

/** This process as a worker, when a primary has started it as one. */
async function workerOf(config: GatewayConfig, { env }: CommandIo): Promise<WorkerLink | undefined> {
  const index = Number(env[workerVariable]);
  if (!Number.isInteger(index) || index < 1 || process.send === undefined) return undefined;
  const { createWorkerLink } = await import("../workers/worker-link.ts");
  return createWorkerLink(index, config.server.workers);
}

async function demoToken(config: GatewayConfig, secret: GatewaySecret): Promise<string | undefined> {
  const { audience, issuer, required } = config.auth;
  if (!required) return undefined;
  return mintToken(secret, {
    user: demoUser,
    scopes: ["mcp", "admin"],
    audience,
    ...(issuer === undefined ? {} : { issuer }),
    expiresInSeconds: 86_400,
  });
}
