import { McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import { serveProgram } from "./program.ts";

/** A plugin of a gateway: its `invoke_hook` blocks calls whose text is `forbidden`, and writes all others in capitals. */
await serveProgram(() => {
  const server = new McpServer({ name: "plugin-fixture", version: "1.0.0" });
  const payload = z.looseObject({ args: z.looseObject({ text: z.string() }) });
  server.registerTool(
    "invoke_hook",
    { description: "Judges a call.", inputSchema: z.looseObject({ payload }) },
    ({ payload: call }) => {
      const { text } = call.args;
      const structuredContent =
        text === "forbidden"
          ? { block: { reason: "text", description: "the word is not allowed", code: "word_blocked" } }
          : { modify: { ...call, args: { ...call.args, text: text.toUpperCase() } } };
      return { content: [], structuredContent };
    },
  );
  return server;
});
