import { McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";

const anything = z.record(z.string(), z.unknown());

/** A plugin that is an MCP server: one tool, `invoke_hook`. */
export function buildPluginServer(): McpServer {
  const server = new McpServer({ name: "remote-plugin", version: "1.0.0" });
  server.registerTool(
    "invoke_hook",
    {
      description: "Decides on a hook.",
      inputSchema: z.object({ plugin: z.string(), hook: z.string(), payload: anything, context: anything }),
    },
    async ({ plugin, hook, payload, context }) => {
      const name = String(payload["name"]);
      if (name === "fail")
        return { isError: true, content: [{ type: "text", text: "the remote plugin is unwell" }] };
      if (name === "hang") await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
      const outcome =
        name === "secret"
          ? { block: { reason: "secret", description: "never", code: "secret_found", httpStatus: 451 } }
          : name === "typo"
            ? { blok: {} }
            : {
                modify: { ...payload, name: `${name}!` },
                metadata: { plugin, hook, context },
                headers: { seen: "1" },
              };
      return { content: [{ type: "text", text: "ok" }], structuredContent: outcome };
    },
  );
  return server;
}
