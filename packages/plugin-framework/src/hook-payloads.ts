/** How far a call got before it ended. */
export type CallPhase = "not_sent" | "refused" | "sent_no_response" | "response_received";

/** What one attempt of a call came to. `result` is the JSON-RPC result value, an object. */
export type CallOutcome =
  | { readonly kind: "result"; readonly result: unknown }
  | {
      readonly kind: "error";
      readonly code: string;
      readonly httpStatus?: number;
      readonly rpcCode?: number;
      readonly networkCode?: string;
      readonly retryAfterMs?: number;
      readonly phase: CallPhase;
    };

/** What a server says of its tool; hints, to be believed only when `serverTrusted`. */
export interface ToolAnnotations {
  readonly readOnlyHint?: boolean;
  readonly idempotentHint?: boolean;
  readonly destructiveHint?: boolean;
}

/** Payload of the hooks that run after every attempt, failed ones too. */
export interface PostPayload {
  /** Tool name, prompt id or resource URI. */
  readonly name: string;
  readonly outcome: CallOutcome;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly annotations?: ToolAnnotations;
  readonly serverTrusted: boolean;
  readonly idempotencyKey?: string;
  /** Milliseconds that are left for another attempt and the wait before it, as far as the host limits a call's time. */
  readonly remainingMs?: number;
  /** Attempts that the host would still make, where it makes fewer than its plugins may ask for. */
  readonly attemptsLeft?: number;
}

/** HTTP or MCP headers; names in lower case. */
export type HeaderMap = Readonly<Record<string, string>>;

/** Payload of `agent_pre_invoke`. */
export interface AgentPrePayload {
  readonly agentId: string;
  readonly messages: unknown;
  readonly parameters?: unknown;
  readonly headers?: HeaderMap;
}

/** Payload of `http_pre_request` and the part that `http_post_request` shares with it. */
export interface HttpRequestPayload {
  readonly path: string;
  readonly method: string;
  /** Address of the client, as the host resolved it. */
  readonly client?: string;
  readonly headers: HeaderMap;
}

/** Payload of `http_auth_resolve_user`: a plugin answers with `modify` and a `user`. */
export interface ResolveUserPayload {
  readonly headers: HeaderMap;
  readonly client?: string;
  readonly user?: unknown;
}

/** Payload of `http_auth_check_permission`: a plugin answers with `modify` and `granted`, or blocks. */
export interface CheckPermissionPayload {
  readonly user: unknown;
  readonly permission: string;
  readonly resource?: string;
  readonly granted?: boolean;
}

/**
 * The built-in hooks and their payloads. A custom hook is added by declaration merging of this interface
 * (a type alone) or with `defineHook` (a name and a zod schema).
 */
export interface HookPayloads {
  tool_pre_invoke: { readonly name: string; readonly args: unknown; readonly headers: HeaderMap };
  tool_post_invoke: PostPayload;
  prompt_pre_fetch: { readonly promptId: string; readonly args: unknown };
  prompt_post_fetch: PostPayload;
  resource_pre_fetch: { readonly uri: string; readonly metadata: unknown };
  resource_post_fetch: PostPayload;
  agent_pre_invoke: AgentPrePayload;
  agent_post_invoke: PostPayload;
  http_pre_request: HttpRequestPayload;
  http_post_request: HttpRequestPayload & {
    readonly responseHeaders: HeaderMap;
    readonly statusCode: number;
  };
  http_auth_resolve_user: ResolveUserPayload;
  http_auth_check_permission: CheckPermissionPayload;
}

/** Name of a hook with a known payload type. */
export type HookName = keyof HookPayloads & string;
