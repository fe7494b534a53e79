export { type CompatAdapter, type CompatOptions, createCompatAdapter } from "./compat-adapter.ts";
export { type RetryPluginDeps, retryPlugin } from "./retry-plugin.ts";
export { type ScannedResult, scanResult } from "./scan-result.ts";
