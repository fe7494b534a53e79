import type { Mode } from "./mode.ts";

/** Who and what a request is about; the host gives it once per request to `pipeline.begin`. */
export interface RequestContext {
  readonly requestId: string;
  /** A string, or an object whose `email`, `id` or `sub` names the user. */
  readonly user?: unknown;
  readonly tenantId?: string;
  readonly serverId?: string;
  readonly clientIp?: string;
  /** Aborts every handler of the request. */
  readonly signal?: AbortSignal;
}

/** What a handler is told beside its payload. */
export interface PluginContext {
  readonly requestId: string;
  readonly user?: unknown;
  readonly tenantId?: string;
  readonly serverId?: string;
  readonly clientIp?: string;
  /** Aborts on timeout, on a sibling's block in the concurrent phase, and with the request's own signal. */
  readonly signal: AbortSignal;
  /** Private to this plugin and this request; handed from the pre hook to the post hook. */
  readonly state: Map<string, unknown>;
  /** Explicitly shared by all plugins of this request. */
  readonly shared: Map<string, unknown>;
  /** Mode in force for this call as this process knows it. */
  readonly mode: Mode;
  /**
   * Mode without any admin override (binding or file): what a record that says `inherit` stands for. The last known mode
   * when a fenced plugin is asked once more because it found no record where there should be one.
   */
  readonly configuredMode: Mode;
  /** `wipeSeq` of the control records that this process knows: global, and the tenant's (0 when there is none). */
  readonly wipeSeq: readonly [global: number, tenant: number];
}
