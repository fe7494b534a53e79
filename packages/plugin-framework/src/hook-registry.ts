import type { ZodType } from "zod";
import type { HookHandler, PluginInstance } from "./plugin-definition.ts";

/** A hook of the host's own, its payload's type forgotten. */
export interface RegisteredHook {
  readonly name: string;
  /** Checked on what the host hands in and on what a plugin modifies; values are not transformed. */
  readonly schema?: ZodType;
  /** Fields that plugins may write; left out: all. */
  readonly writes?: readonly string[];
}

/**
 * What `handle` makes: a part of an instance's `hooks`. The built-in name is there, never filled, so that a part
 * with a custom name alone passes for such a part.
 */
export type CustomHandlers<N extends string, P> = { readonly [K in N]: HookHandler<P> } & Pick<
  PluginInstance["hooks"],
  "agent_post_invoke"
>;

/** A hook of the host's own; made by {@link defineHook}. */
export interface CustomHook<N extends string, P> extends RegisteredHook {
  readonly name: N;
  readonly schema?: ZodType<P>;
  /** Types a handler; spread the result into an instance's `hooks`. */
  handle(handler: HookHandler<P>): CustomHandlers<N, P>;
}

/** Options of {@link defineHook}. */
export interface CustomHookOptions<P> {
  readonly schema?: ZodType<P>;
  readonly writes?: readonly string[];
}

/**
 * Names a hook of your own. Hand it to `createPluginPipeline(config, { hooks: [hook] })` and to `scope.invoke(hook, payload)`.
 *
 * @example
 * const beforeMail = defineHook("before_mail", { schema: z.object({ to: z.string(), text: z.string() }), writes: ["text"] });
 */
export function defineHook<P, N extends string = string>(
  name: N,
  options: CustomHookOptions<P> = {},
): CustomHook<N, P> {
  return { name, ...options, handle: (handler) => ({ [name]: handler }) as CustomHandlers<N, P> };
}

/** Fields that plugins may write at the built-in hooks. */
const BUILT_IN_WRITES: Readonly<Record<string, readonly string[]>> = {
  tool_pre_invoke: ["name", "args", "headers"],
  tool_post_invoke: ["outcome"],
  prompt_pre_fetch: ["promptId", "args"],
  prompt_post_fetch: ["outcome"],
  resource_pre_fetch: ["uri", "metadata"],
  resource_post_fetch: ["outcome"],
  agent_pre_invoke: ["messages", "parameters", "headers"],
  agent_post_invoke: ["outcome"],
  http_pre_request: ["headers"],
  http_post_request: ["responseHeaders", "statusCode"],
  http_auth_resolve_user: ["user"],
  http_auth_check_permission: ["granted"],
};

/** What the pipeline knows about one hook. */
export interface KnownHook {
  readonly name: string;
  readonly writes: ReadonlySet<string> | undefined;
  readonly schema: ZodType | undefined;
}

/** The built-in hooks and the host's own, by name. */
export function knownHooks(custom: readonly RegisteredHook[] = []): ReadonlyMap<string, KnownHook> {
  const known = new Map<string, KnownHook>();
  for (const [name, writes] of Object.entries(BUILT_IN_WRITES)) {
    known.set(name, { name, writes: new Set(writes), schema: undefined });
  }
  for (const { name, writes, schema } of custom) {
    known.set(name, { name, writes: writes === undefined ? undefined : new Set(writes), schema });
  }
  return known;
}
