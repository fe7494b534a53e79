export { type Clock, systemClock, type Timer } from "./clock.ts";
export type { Condition } from "./conditions.ts";
export {
  type ConfigFileOptions,
  configJsonSchema,
  type JsonSchema,
  parseConfigText,
  readConfigFile,
} from "./config-file.ts";
export {
  type Beat,
  type ControlBus,
  type ControlFrame,
  type Guarantee,
  HEARTBEAT_MS,
  MEMBER_EXPIRY_MS,
  type WriteVerdict,
} from "./control/control-bus.ts";
export {
  type ControlRecord,
  type ControlScope,
  packRecord,
  parseScope,
  scopeText,
  unpackRecord,
} from "./control/control-record.ts";
export { type ControlTiming, DEFAULT_TIMING } from "./control/control-timing.ts";
export type {
  Acknowledgement,
  ConvergenceReport,
  SetModeOptions,
  WaitFor,
  WipePolicy,
} from "./control/convergence-report.ts";
export { createInProcessBus, type InProcessBusOptions } from "./control/in-process-bus.ts";
export { createPluginPipeline } from "./create-plugin-pipeline.ts";
export { definePlugin } from "./define-plugin.ts";
export type { InvokeOptions, RequestScope } from "./dispatch/request-scope.ts";
export { type Environment, substituteEnv } from "./env-substitution.ts";
export {
  type ConfigIssue,
  PayloadSizeError,
  PluginConfigError,
  PluginError,
  type PluginErrorCode,
  type PluginErrorOptions,
} from "./errors.ts";
export { defineExternalPlugin, type ExternalManifest } from "./external-plugin.ts";
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
export {
  type CustomHandlers,
  type CustomHook,
  type CustomHookOptions,
  defineHook,
  type RegisteredHook,
} from "./hook-registry.ts";
export { type Manifest, manifestOf, markdownTable, textListing } from "./manifest.ts";
export { type ConfiguredMode, isMode, MODES, type Mode } from "./mode.ts";
export type { ModeLayer } from "./mode-state.ts";
export type { ControlAlert, LifecycleFailure, ModeEvent, PipelineObserver } from "./observer.ts";
export { copyPayload, type Writable } from "./payload-copy.ts";
export { type OnError, PHASES, type Phase, type Reads } from "./phase.ts";
export type { Binding, PipelineConfig, PipelineLimits, PluginEntry } from "./pipeline-config.ts";
export { pluginSettingsSchema } from "./pipeline-config.ts";
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
export type {
  ModeExplanation,
  PipelineDeps,
  PluginPipeline,
  PluginStatus,
  ReloadReport,
  SavedOverride,
} from "./plugin-pipeline.ts";
export type { PluginTransport, RemoteHookCall } from "./plugin-transport.ts";
export { syntaxFault } from "./syntax-fault.ts";
export type { Violation } from "./violation.ts";
