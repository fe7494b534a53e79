import { setTimeout as delay } from "node:timers/promises";
import type { McpServer } from "@modelcontextprotocol/server";
import { text } from "./samples.ts";

/** Long enough that a client sees several messages rather than one burst. */
const PAUSE_MS = 50;

/** Tools that send something before their answer, or interrupt it. */
export function registerNotifyingTools(server: McpServer): void {
  server.registerTool("test_tool_with_logging", { description: "Logs three times." }, async ({ mcpReq }) => {
    await mcpReq.log("info", "Tool execution started");
    await delay(PAUSE_MS, undefined, { signal: mcpReq.signal });
    await mcpReq.log("info", "Tool processing data");
    await delay(PAUSE_MS, undefined, { signal: mcpReq.signal });
    await mcpReq.log("info", "Tool execution completed");
    return { content: [text("Tool with logging executed successfully")] };
  });
  server.registerTool("test_logging_tool", { description: "Logs once." }, async ({ mcpReq }) => {
    await mcpReq.log("info", "logged for those who asked");
    return { content: [text("logged")] };
  });
  server.registerTool(
    "test_tool_with_progress",
    { description: "Reports its progress." },
    async ({ mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      for (const progress of [0, 50, 100]) {
        if (progress > 0) await delay(PAUSE_MS, undefined, { signal: mcpReq.signal });
        if (progressToken === undefined) continue;
        const params = { progressToken, progress, total: 100, message: `step ${progress} of 100` };
        await mcpReq.notify({ method: "notifications/progress", params });
      }
      return { content: [text("Tool with progress executed successfully")] };
    },
  );
  server.registerTool(
    "test_streaming_elicitation",
    { description: "Asks nothing while it streams." },
    () => ({
      content: [text("no questions")],
    }),
  );
  server.registerTool(
    "test_reconnection",
    { description: "Closes its answer's stream; the answer waits for the client to come back." },
    async ({ mcpReq, http }) => {
      http?.closeSSE?.();
      await delay(2 * PAUSE_MS, undefined, { signal: mcpReq.signal });
      return { content: [text("answered after the stream was closed")] };
    },
  );
}
