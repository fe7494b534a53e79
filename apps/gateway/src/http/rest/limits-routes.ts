import type { GatewayCore } from "../../app/gateway-core.ts";
import { sharingOf } from "../../app/sharing.ts";
import { defineRoute, type RestRoute } from "./route.ts";

/** `GET /admin/limits`: what the rate limiter and the retry budget have granted and refused. */
export function limitsRoutes({ config, calls, pipeline }: GatewayCore): RestRoute[] {
  return [
    defineRoute({
      method: "GET",
      path: "/admin/limits",
      summary:
        "Retry budgets by tool, server, tenant and in all, repeats and give-ups by reason, and the rate limiter's counts",
      access: "admin",
      handle: async () => ({
        sharing: sharingOf(config),
        retry: {
          maxToolRetries: config.retry.maxToolRetries,
          budgetOptions: config.retry.budget,
          ...calls.retries.stats(),
          budget: await calls.retries.budgets(),
        },
        rateLimiter: pipeline.list().find((plugin) => plugin.plugin === "rate_limiter")?.stats ?? null,
      }),
    }),
  ];
}
