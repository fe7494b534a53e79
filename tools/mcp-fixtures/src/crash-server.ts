import type { McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import { buildEchoServer } from "./echo-server.ts";
import type { Fixture } from "./fixture.ts";
import { type SdkServerOptions, startSdkServer } from "./sdk-server.ts";

/** How a crash server ends, and how it comes back. */
export interface CrashFixture extends Fixture {
  /** How often it crashed. */
  crashes(): number;
  /** Listens again on the same port, with no memory of its sessions. */
  restart(): Promise<void>;
}

/** The tools of the echo server and `crash {}`, which ends the server in mid-call by `die`. */
export function buildCrashServer(die: () => void): McpServer {
  const server = buildEchoServer();
  server.registerTool(
    "crash",
    { description: "Ends the server in mid-call.", inputSchema: z.strictObject({}) },
    () => {
      die();
      return new Promise<never>(() => undefined);
    },
  );
  return server;
}

/** How the crash server crashes. */
export interface CrashServerOptions extends SdkServerOptions {
  /** End the whole process with code 1; default false: destroy every socket and stop listening. */
  readonly exit?: boolean;
}

/**
 * {@link buildCrashServer} over streamable HTTP. Without `exit` a crash shows a client all that it can see of a
 * dead process, but the test lives on.
 */
export async function startCrashServer(options: CrashServerOptions = {}): Promise<CrashFixture> {
  let crashes = 0;
  const report = (): object => ({ crashes });
  const start = (port: number) =>
    startSdkServer(() => buildCrashServer(() => die()), { ...options, port, report });
  let server = await start(options.port ?? 0);
  let dying: Promise<void> = Promise.resolve();
  const die = (): void => {
    if (options.exit) process.exit(1);
    crashes += 1;
    dying = server.close();
  };
  const close = (): Promise<void> => server.close();
  return {
    url: server.url,
    port: server.port,
    stats: () => server.stats(),
    crashes: () => crashes,
    close,
    [Symbol.asyncDispose]: close,
    restart: async () => {
      await dying;
      server = await start(server.port);
    },
  };
}
