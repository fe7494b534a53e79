import { unwatchFile, watchFile } from "node:fs";
import type { Logger } from "pino";
import { ConfigError } from "../config/config-error.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { LiveConfig } from "./live-config.ts";

/** How a configuration file is followed. Times in milliseconds. */
export interface FollowConfigOptions {
  readonly file: string;
  /** Loads the configuration anew. @throws {ConfigError} */
  readonly load: () => Promise<GatewayConfig>;
  readonly live: LiveConfig;
  readonly logger: Logger;
  /** Calls the listener when the process is told to read its configuration again; returns how to stop that. */
  readonly onHangUp?: ((listener: () => void) => () => void) | undefined;
  /** Time between two looks at the file. Default 500. */
  readonly lookEveryMs?: number;
  /** A file that has changed is read when it has been left alone for so long. Default 200. */
  readonly settleMs?: number;
  /** Pause before what could not be applied is tried again. Default 2 000. */
  readonly againMs?: number;
}

/**
 * Reads the configuration again when its file changes, however an editor replaces it, and on SIGHUP. The file is looked
 * at by its name: watches of the system follow the old one when another takes its place. Returns how to stop.
 */
export function followConfig(options: FollowConfigOptions): () => void {
  const { file, load, live, logger, lookEveryMs = 500, settleMs = 200, againMs = 2_000 } = options;
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  let asked = false;
  let stopped = false;
  const schedule = (ms: number) => {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(() => void reload(), ms).unref();
  };
  const reload = async () => {
    if (running) {
      asked = true;
      return;
    }
    running = true;
    try {
      await live.apply(await load());
    } catch (error) {
      if (error instanceof ConfigError) live.refuse(error);
      else {
        logger.warn({ err: error }, "the configuration could not be applied yet");
        schedule(againMs);
      }
    }
    running = false;
    if (asked) schedule(0);
    asked = false;
  };
  const onChange = () => schedule(settleMs);
  watchFile(file, { interval: lookEveryMs, persistent: false }, onChange);
  const forget = options.onHangUp?.(() => schedule(0));
  return () => {
    stopped = true;
    clearTimeout(timer);
    unwatchFile(file, onChange);
    forget?.();
  };
}
