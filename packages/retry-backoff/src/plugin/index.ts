export { type RetryPluginDeps, retryPlugin } from "./retry-plugin.ts";
