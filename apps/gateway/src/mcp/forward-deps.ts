import type { PluginPipeline } from "@gatewright/plugin-framework";
import type { CallLoopDeps } from "../calls/call-loop.ts";
import type { Snapshot } from "../registry/snapshot.ts";
import type { Tracing } from "../tracing/call-trace.ts";
import type { CrossingDeps } from "./crossings.ts";
import type { UpstreamAccesses } from "./upstream-access.ts";

/** What forwarding works with. */
export interface ForwardDeps extends CallLoopDeps, CrossingDeps {
  readonly pipeline: PluginPipeline;
  readonly accesses: UpstreamAccesses;
  readonly snapshot: () => Snapshot;
  /** Takes traces, where an OpenTelemetry SDK is registered. */
  readonly tracing?: Tracing | undefined;
}
