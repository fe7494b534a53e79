import {
  hostHeaderValidationResponse,
  localhostAllowedHostnames,
  localhostAllowedOrigins,
  McpServer,
  originValidationResponse,
} from "@modelcontextprotocol/server";
import { type SdkFixture, type SdkServerOptions, startSdkServer } from "../sdk-server.ts";
import { registerAskingTools } from "./asking-tools.ts";
import { registerChangeTools } from "./change-tools.ts";
import { registerContentTools } from "./content-tools.ts";
import { createEventLog } from "./event-log.ts";
import { createEverythingState, type EverythingState, type LiveInstance } from "./everything-state.ts";
import { registerNotifyingTools } from "./notifying-tools.ts";
import { registerPrompts } from "./prompts.ts";
import { registerResources } from "./resources.ts";
import { registerRoundTools } from "./round-tools.ts";
import { roundStates } from "./rounds.ts";

/** How soon a client whose stream was closed may come back. */
const RETRY_MS = 500;

/**
 * An instance with every tool, resource and prompt that the public conformance suite names, and a few more
 * (`test_resource_link`, `test_structured_content`, `test_list_roots`, `test_trigger_resource_change`).
 */
export function buildEverythingServer(state: EverythingState): LiveInstance {
  const server = new McpServer(
    { name: "everything-fixture", version: "1.0.0" },
    {
      instructions: "Everything that MCP knows, for tests.",
      capabilities: { logging: {}, completions: {}, resources: { subscribe: true, listChanged: true } },
      requestState: { verify: roundStates.verify },
    },
  );
  registerContentTools(server);
  registerNotifyingTools(server);
  registerAskingTools(server);
  registerRoundTools(server);
  registerResources(server, state);
  registerPrompts(server);
  return registerChangeTools(server, state);
}

/** Refuses what a page of another site could send to a server on this machine. */
const guard = (request: Request): Response | undefined =>
  hostHeaderValidationResponse(request, localhostAllowedHostnames()) ??
  originValidationResponse(request, localhostAllowedOrigins());

/** {@link buildEverythingServer} over streamable HTTP: sessions (legacy), stateless (modern), or both on one URL. */
export async function startEverythingServer(options: SdkServerOptions = {}): Promise<SdkFixture> {
  const state = createEverythingState();
  const leave = new Map<string, () => void>();
  const server = await startSdkServer(
    ({ sessionId }) => {
      const instance = buildEverythingServer(state);
      if (sessionId !== undefined) leave.set(sessionId, state.join(instance));
      return instance.server;
    },
    {
      ...options,
      guard,
      legacyTransport: () => ({ eventStore: createEventLog(), retryInterval: RETRY_MS }),
      onSessionClosed: (sessionId) => {
        leave.get(sessionId)?.();
        leave.delete(sessionId);
      },
    },
  );
  state.tellModern(server.modern.notify);
  return server;
}
