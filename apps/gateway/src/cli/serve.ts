import { pino } from "pino";
import { startGateway } from "../app/gateway.ts";
import { tuneV8 } from "../app/tune-v8.ts";
import { mintToken } from "../auth/mint-token.ts";
import { GatewayError } from "../errors.ts";
import { loadSecret } from "../secret/gateway-secret.ts";
import { sharedBy } from "../secret/shared-by.ts";
import { loadCommandConfig } from "./command-config.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { demoLines, demoUser, withDemoServer } from "./demo.ts";
import { parseFlags } from "./flags.ts";

/** `gatewright serve`: runs a gateway until the process is asked to stop. */
export async function serve(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseFlags(args, { demo: { type: "boolean" } });
  tuneV8();
  const loaded = await loadCommandConfig(values, io);
  const demo = values["demo"] === true;
  const config = demo ? withDemoServer(loaded) : loaded;
  const secret = loadSecret(config.server.dataDir, io.env, sharedBy(config));
  const logger = pino(
    {
      level: config.observability.logLevel,
      redact: ["token", "authorization", "headers", "*.authorization"],
    },
    pino.destination({ fd: 2, sync: true }),
  );
  const stopped = io.stopped();
  let gateway: Awaited<ReturnType<typeof startGateway>>;
  try {
    gateway = await startGateway(config, { secret, logger });
  } catch (error) {
    if (!GatewayError.is(error)) throw error;
    if (error.code !== "conflict") throw error;
    io.err(`gatewright: ${error.message}`);
    return exitCodes.listen;
  }
  io.out(`Gatewright listens on ${gateway.url}`);
  if (demo) {
    const { audience, issuer, required } = config.auth;
    const token = required
      ? await mintToken(secret, {
          user: demoUser,
          scopes: ["mcp", "admin"],
          audience,
          ...(issuer === undefined ? {} : { issuer }),
          expiresInSeconds: 86_400,
        })
      : undefined;
    for (const line of demoLines(gateway.url, token)) io.out(line);
  }
  await stopped;
  logger.info("stopping");
  await gateway.close();
  return exitCodes.ok;
}
