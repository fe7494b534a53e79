import type { RequestMessage } from "@gatewright/mcp-bridge";
import type { HookPayloads, ToolAnnotations } from "@gatewright/plugin-framework";
import type { Snapshot } from "../registry/snapshot.ts";

/** The kinds of calls that plugins see. */
export type HookedKind = "tool" | "prompt" | "resource";

/** The hooks around one kind of call. */
export interface HookPair {
  readonly kind: HookedKind;
  readonly pre: "tool_pre_invoke" | "prompt_pre_fetch" | "resource_pre_fetch";
  readonly post: "tool_post_invoke" | "prompt_post_fetch" | "resource_post_fetch";
}

const pairs: Readonly<Record<string, HookPair>> = {
  "tools/call": { kind: "tool", pre: "tool_pre_invoke", post: "tool_post_invoke" },
  "prompts/get": { kind: "prompt", pre: "prompt_pre_fetch", post: "prompt_post_fetch" },
  "resources/read": { kind: "resource", pre: "resource_pre_fetch", post: "resource_post_fetch" },
};

/** The hooks of a method, if plugins see its calls. */
export function hooksOf(method: string): HookPair | undefined {
  return Object.hasOwn(pairs, method) ? pairs[method] : undefined;
}

/** The payload of the pre hook of a call. `name` is the upstream's own name of the tool, prompt or resource. */
export function prePayload(
  kind: HookedKind,
  name: string,
  message: RequestMessage,
  headers: Readonly<Record<string, string>>,
): HookPayloads["tool_pre_invoke"] | HookPayloads["prompt_pre_fetch"] | HookPayloads["resource_pre_fetch"] {
  switch (kind) {
    case "tool":
      return { name, args: message.params?.["arguments"], headers };
    case "prompt":
      return { promptId: name, args: message.params?.["arguments"] };
    case "resource":
      return { uri: name, metadata: message.params?.["_meta"] };
  }
}

/** What the upstream says of a tool. A prompt or resource is only read. */
export function annotationsOf(
  kind: HookedKind,
  snapshot: Snapshot,
  upstreamId: string,
  name: string,
): ToolAnnotations | undefined {
  if (kind !== "tool") return readOnly;
  const annotations = snapshot.items(upstreamId, "tool").get(name)?.body["annotations"];
  return typeof annotations === "object" && annotations !== null
    ? (annotations as ToolAnnotations)
    : undefined;
}

const readOnly: ToolAnnotations = { readOnlyHint: true };
