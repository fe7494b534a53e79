import { z } from "zod";

const hookNames = [
  "tool_pre_invoke",
  "tool_post_invoke",
  "prompt_pre_fetch",
  "prompt_post_fetch",
  "resource_pre_fetch",
  "resource_post_fetch",
  "http_pre_request",
  "http_post_request",
  "http_auth_resolve_user",
  "http_auth_check_permission",
] as const;

const declaration = z.strictObject({
  phase: z.enum(["sequential", "transform", "audit", "concurrent", "fire_and_forget"]).optional(),
  reads: z.enum(["none", "outcome", "body"]).optional(),
});

/** A plugin that is an MCP server: where it is, and the hooks it is called at. */
export const mcpPlugin = z
  .strictObject({
    url: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe("Endpoint of a streamable HTTP server."),
    headers: z.record(z.string(), z.string()).optional(),
    command: z.string().min(1).optional().describe("A stdio server instead of `url`."),
    args: z.array(z.string()).optional(),
    env: z.record(z.string(), z.string()).optional(),
    cwd: z.string().optional(),
    tool: z.string().min(1).optional().describe("Tool that takes the hooks; `invoke_hook` by default."),
    hooks: z.partialRecord(z.enum(hookNames), declaration).describe("The hooks it is called at."),
  })
  .refine(({ url, command }) => (url === undefined) !== (command === undefined), {
    message: "needs either url or command",
  });

/** One parsed `plugins[].mcp`. */
export type McpPlugin = z.infer<typeof mcpPlugin>;
