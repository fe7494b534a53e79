import type { PluginEntry } from "./plugin-framework.ts";

/** The entry that stands for `rate_limiter` when `plugins[]` does not name it: present, without rules. */
export const defaultRateLimiterEntry: PluginEntry = {
  name: "rate_limiter",
  mode: "enforce",
  priority: 50,
  config: {},
};
