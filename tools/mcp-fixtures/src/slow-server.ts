import { setTimeout as delay } from "node:timers/promises";
import { McpServer, type ServerContext } from "@modelcontextprotocol/server";
import * as z from "zod";
import type { Fixture } from "./fixture.ts";
import { type SdkServerOptions, startSdkServer } from "./sdk-server.ts";

/** Calls of the tools `slow` and `hang`, as their handlers saw them. */
export interface SlowCalls {
  started: number;
  completed: number;
  /** The client cancelled, closed its stream (modern), or the session ended. */
  aborted: number;
}

/** A slow server, with what became of its calls. */
export interface SlowFixture extends Fixture {
  calls(): Readonly<SlowCalls>;
}

/**
 * The tools `slow {ms, steps?}` (answers after `ms`; with `steps` sends that many progress notifications on the
 * way, when the caller gave a token) and `hang {}` (answers nothing until it is aborted).
 */
export function buildSlowServer(calls: SlowCalls): McpServer {
  const server = new McpServer({ name: "slow-fixture", version: "1.0.0" });
  const annotations = { readOnlyHint: true, idempotentHint: true };

  const observed = async (context: ServerContext, work: () => Promise<void>, text: string) => {
    calls.started += 1;
    try {
      await work();
      calls.completed += 1;
    } catch (error) {
      if (context.mcpReq.signal.aborted) calls.aborted += 1;
      throw error;
    }
    return { content: [{ type: "text" as const, text }] };
  };

  server.registerTool(
    "slow",
    {
      description: "Answers after the given number of milliseconds.",
      inputSchema: z.strictObject({ ms: z.int().min(0), steps: z.int().min(1).max(1000).default(1) }),
      annotations,
    },
    ({ ms, steps }, context) =>
      observed(
        context,
        async () => {
          const { signal, _meta, notify } = context.mcpReq;
          for (let step = 1; step <= steps; step += 1) {
            await delay(ms / steps, undefined, { signal });
            if (_meta?.progressToken === undefined || steps === 1) continue;
            const params = { progressToken: _meta.progressToken, progress: step, total: steps };
            await notify({ method: "notifications/progress", params });
          }
        },
        `done after ${ms} ms`,
      ),
  );
  server.registerTool("hang", { description: "Never answers.", annotations }, (context) =>
    observed(context, () => delay(2 ** 31 - 1, undefined, { signal: context.mcpReq.signal }), "never"),
  );
  return server;
}

/** {@link buildSlowServer} over streamable HTTP. */
export async function startSlowServer(options: SdkServerOptions = {}): Promise<SlowFixture> {
  const calls: SlowCalls = { started: 0, completed: 0, aborted: 0 };
  const server = await startSdkServer(() => buildSlowServer(calls), {
    ...options,
    report: () => ({ calls }),
  });
  return { ...server, calls: () => ({ ...calls }) };
}
