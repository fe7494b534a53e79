/** One hook call to a plugin that lives elsewhere. Plain JSON. */
export interface RemoteHookCall {
  readonly plugin: string;
  readonly hook: string;
  readonly payload: unknown;
  readonly context: {
    readonly requestId: string;
    readonly user?: unknown;
    readonly tenantId?: string;
    readonly serverId?: string;
    readonly clientIp?: string;
    readonly mode: string;
  };
}

/**
 * How an external plugin is reached: MCP today, gRPC or a unix socket behind the same contract. The pipeline's
 * timeout and `onError` apply to it as to any other handler.
 */
export interface PluginTransport {
  /** Makes the first connection. */
  open(): Promise<void>;
  /** Resolves to the outcome as the plugin sent it, unchecked. Connects again when it has to. */
  invoke(call: RemoteHookCall, options: { readonly signal: AbortSignal }): Promise<unknown>;
  close(): Promise<void>;
}
