import type {
  ModeChange,
  PluginContext,
  PluginDefinition,
  PluginInstance,
} from "@gatewright/plugin-framework";
import type { ZodType } from "zod";
import type { Decision } from "../decision.ts";
import { type CheckOptions, createRateLimiter, type RateLimiterDeps } from "../limiter.ts";
import { createMemoryStore } from "../memory/memory-store.ts";
import { limiterOptionsSchema, type RateLimiterOptions } from "../options.ts";
import type { LimiterStore } from "../store.ts";
import type { Subject } from "../subject.ts";
import { identityOf } from "./identity.ts";
import { type LimiterOutcome, toOutcome } from "./outcome.ts";

/** The version in the plugin's manifest. */
const VERSION = "0.0.0";

/**
 * The rate limiter as a plugin named `rate_limiter` on tool calls, prompts and resources. It has no rules by
 * default; its config is that of {@link createRateLimiter}. A refusal is a block with HTTP status 429 and
 * JSON-RPC number -31001; headers are there on success too. Over a store with a control record it declares
 * mode authority, and is refused under another name than the store's `plugin`. The store belongs to the host and outlives every reload; without one, all instances of the
 * definition share one memory store.
 */
export function rateLimiterPlugin(deps: RateLimiterDeps = {}): PluginDefinition<RateLimiterOptions> {
  const store: LimiterStore =
    deps.store ?? createMemoryStore({}, deps.clock === undefined ? {} : { clock: deps.clock });
  const fenced = store.remote;
  return {
    name: "rate_limiter",
    version: VERSION,
    description: "Limits calls per user, tenant, tool, prompt, resource, server and address.",
    tags: ["limits"],
    modeAuthority: fenced,
    ...(store.plugin === undefined ? {} : { recordsOf: store.plugin }),
    hooks: {
      tool_pre_invoke: { phase: "sequential", reads: "none" },
      prompt_pre_fetch: { phase: "sequential", reads: "none" },
      resource_pre_fetch: { phase: "sequential", reads: "none" },
    },
    configSchema: limiterOptionsSchema as unknown as ZodType<RateLimiterOptions>,
    create(config): PluginInstance {
      const limiter = createRateLimiter(config, { ...deps, store });
      const check = (subject: Subject, context: PluginContext) =>
        answer(limiter.check(subject, fenced ? remotely(context) : locally(context)), fenced);
      return {
        hooks: {
          tool_pre_invoke: ({ name }, context) => check(subjectOf(context, name), context),
          prompt_pre_fetch: ({ promptId }, context) =>
            check(subjectOf(context, undefined, promptId), context),
          resource_pre_fetch: ({ uri }, context) =>
            check(subjectOf(context, undefined, undefined, uri), context),
        },
        onModeChange: wipeFor,
        shutdown: () => limiter.close(),
        stats: () => limiter.stats(),
      };

      function wipeFor(change: ModeChange): void | Promise<void> {
        // Under a control record the states already read as empty; what is left to do is to remove them.
        if (fenced && change.wipe) store.sweep?.(change.tenant).catch(() => {});
        if (!change.wipe && !endsUnasked(change)) return;
        const { tenant } = change;
        const target =
          tenant === undefined ? ({ scope: "all" } as const) : { scope: "tenant" as const, tenant };
        return fenced ? limiter.wiped(target) : limiter.wipe(target);
      }
    },
  };
}

/** Was the limiter disabled by something that could not say whether to wipe: an expiry, a reload, an error? */
function endsUnasked({ previous, next, cause }: ModeChange): boolean {
  return next === "disabled" && previous !== "disabled" && cause !== "set" && cause !== "clear";
}

function answer(
  decision: Decision | Promise<Decision>,
  fenced: boolean,
): LimiterOutcome | undefined | Promise<LimiterOutcome | undefined> {
  return decision instanceof Promise
    ? decision.then((settled) => toOutcome(settled, fenced))
    : toOutcome(decision, fenced);
}

/** What a check of a store with a control record has to know beside its subject. */
function remotely(context: PluginContext): CheckOptions {
  return {
    mode: context.configuredMode,
    knownMode: context.mode,
    wipeSeq: context.wipeSeq,
    signal: context.signal,
  };
}

/** A store in memory answers at once: it needs the mode alone, and under `enforce` not even that. */
function locally({ mode }: PluginContext): CheckOptions | undefined {
  return mode === "enforce" ? undefined : { mode };
}

function subjectOf(context: PluginContext, tool?: string, prompt?: string, resource?: string): Subject {
  return {
    user: identityOf(context.user),
    tenant: context.tenantId,
    server: context.serverId,
    ip: context.clientIp,
    tool,
    prompt,
    resource,
  };
}
