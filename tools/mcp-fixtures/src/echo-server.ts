import { McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import type { Fixture } from "./fixture.ts";
import { type SdkServerOptions, startSdkServer } from "./sdk-server.ts";

/** The tools `echo {text}` and `fail {text}` (an `isError` result), on the official SDK. */
export function buildEchoServer(): McpServer {
  const server = new McpServer({ name: "echo-fixture", version: "1.0.0" });
  server.registerTool(
    "echo",
    {
      description: "Answers with the text it was given.",
      inputSchema: z.strictObject({ text: z.string() }),
      annotations: { readOnlyHint: true, idempotentHint: true },
    },
    ({ text }) => ({ content: [{ type: "text", text }] }),
  );
  server.registerTool(
    "fail",
    { description: "Answers with an error result.", inputSchema: z.strictObject({ text: z.string() }) },
    ({ text }) => ({ isError: true, content: [{ type: "text", text }] }),
  );
  return server;
}

/** {@link buildEchoServer} over streamable HTTP. */
export function startEchoServer(options: SdkServerOptions = {}): Promise<Fixture> {
  return startSdkServer(buildEchoServer, options);
}
