export { type Clock, systemClock, type Timer } from "./clock.ts";
export { definePlugin } from "./define-plugin.ts";
export type { HookOutcome, ModeAuthority, OutcomeExtras } from "./hook-outcome.ts";
export type {
  AgentPrePayload,
  CallOutcome,
  CallPhase,
  CheckPermissionPayload,
  HeaderMap,
  HookName,
  HookPayloads,
  HttpRequestPayload,
  PostPayload,
  ResolveUserPayload,
  ToolAnnotations,
} from "./hook-payloads.ts";
export type { HookRecord, RecordStatus } from "./hook-record.ts";
export { type ConfiguredMode, isMode, MODES, type Mode } from "./mode.ts";
export { type OnError, PHASES, type Phase, type Reads } from "./phase.ts";
export type { PipelineResult } from "./pipeline-result.ts";
export type { PluginContext, RequestContext } from "./plugin-context.ts";
export type {
  HookDeclaration,
  HookHandler,
  ModeChange,
  PluginDefinition,
  PluginHost,
  PluginInstance,
} from "./plugin-definition.ts";
export type { Violation } from "./violation.ts";
