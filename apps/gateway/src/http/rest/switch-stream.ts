import { Readable } from "node:stream";
import type { ConvergenceReport } from "@gatewright/plugin-framework";
import { GatewayError } from "../../errors.ts";
import type { AckFeed } from "../../redis/ack-feed.ts";

/**
 * Runs a switch and tells it as server-sent events: `ack {replica, rev, ms}` as the acknowledgements of the new
 * record arrive, then `report`, or `error {code, message}`.
 */
export function streamSwitch(feed: AckFeed, scope: string, run: () => Promise<ConvergenceReport>): Readable {
  const stream = new Readable({ read: () => undefined });
  const startedMs = performance.now();
  const seen = new Set<string>();
  const stop = feed.listen((name, rev, replicas) => {
    if (name !== scope) return;
    for (const replica of replicas) {
      const key = `${rev} ${replica}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const ms = Math.round((performance.now() - startedMs) * 10) / 10;
      stream.push(event("ack", { replica, rev, ms }));
    }
  });
  run()
    .then(
      (report) => stream.push(event("report", report)),
      (error: unknown) => stream.push(event("error", describe(error))),
    )
    .finally(() => {
      stop();
      stream.push(null);
    });
  return stream;
}

function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

function describe(error: unknown): { readonly code: string; readonly message: string } {
  if (GatewayError.is(error)) return { code: error.code, message: error.message };
  return { code: "internal_error", message: "the gateway failed" };
}
