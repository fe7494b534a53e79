import { randomUUID } from "node:crypto";
import type { Era } from "./fixture.ts";
import { failure, LEGACY_REVISIONS, MODERN_REVISION, success } from "./raw-messages.ts";
import type { RawMessage, RawToolset } from "./raw-tools.ts";

/** One answer of the raw server, ready to be written. */
export interface RawAnswer {
  readonly status: number;
  readonly body: string;
  /** The answer to a tool call: may go out as SSE and later. */
  readonly call?: { readonly waitMs: number };
  /** The session that `initialize` has opened. */
  readonly session?: string;
}

/** What the raw server knows of MCP, apart from HTTP. */
export interface RawProtocol {
  answer(message: RawMessage, session: string | undefined): RawAnswer;
  /** Ends a session; false when there was none of that name. */
  end(session: string): boolean;
}

const REVISION_KEY = "io.modelcontextprotocol/protocolVersion";

const ok = (body: string): RawAnswer => ({ status: 200, body });

export function createRawProtocol(era: Era, toolset: RawToolset): RawProtocol {
  const { messages } = toolset;
  const sessions = new Set<string>();

  const call = (message: RawMessage, id: string, modern: boolean): RawAnswer => {
    const { body, waitMs } = toolset.call(message, id, modern);
    return { status: 200, body, call: { waitMs } };
  };

  const answerModern = (message: RawMessage, id: string): RawAnswer => {
    if (era === "legacy")
      return { status: 400, body: failure(id, -32000, "Mcp-Session-Id header is required") };
    switch (message.method) {
      case "tools/call":
        return call(message, id, true);
      case "tools/list":
        return ok(success(id, messages.tools(true)));
      case "server/discover":
        return ok(success(id, messages.discover));
      default:
        return { status: 404, body: failure(id, -32601, "Method not found") };
    }
  };

  const openSession = (asked: string | undefined, id: string): RawAnswer => {
    const session = randomUUID();
    sessions.add(session);
    const revision = LEGACY_REVISIONS.find((known) => known === asked) ?? LEGACY_REVISIONS[0];
    return { status: 200, body: success(id, messages.initialize(revision)), session };
  };

  const answerLegacy = (message: RawMessage, id: string, session: string | undefined): RawAnswer => {
    const asked = message.params?.protocolVersion;
    if (era === "modern") {
      const data = { supported: [MODERN_REVISION], requested: asked ?? null };
      return { status: 400, body: failure(id, -32022, "Unsupported protocol version", data) };
    }
    if (message.method === "initialize") return openSession(asked, id);
    if (session === undefined) {
      return { status: 400, body: failure(id, -32000, "Mcp-Session-Id header is required") };
    }
    if (!sessions.has(session)) return { status: 404, body: failure(id, -32001, "Session not found") };
    switch (message.method) {
      case "tools/call":
        return call(message, id, false);
      case "tools/list":
        return ok(success(id, messages.tools(false)));
      case "ping":
        return ok(success(id, "{}"));
      default:
        return ok(failure(id, -32601, "Method not found"));
    }
  };

  return {
    answer(message, session) {
      const id = JSON.stringify(message.id);
      const modern = message.params?._meta?.[REVISION_KEY] !== undefined;
      return modern ? answerModern(message, id) : answerLegacy(message, id, session);
    },
    end: (session) => sessions.delete(session),
  };
}
