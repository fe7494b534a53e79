import { z } from "zod";
import type { HookName } from "./hook-payloads.ts";
import { parseStrictly } from "./parse-strictly.ts";
import { takeOver } from "./payload-copy.ts";
import type { PluginContext } from "./plugin-context.ts";
import type { PluginDefinition, PluginInstance } from "./plugin-definition.ts";
import type { PluginTransport, RemoteHookCall } from "./plugin-transport.ts";

const fields = z.record(z.string(), z.unknown());
const headers = z.record(z.string(), z.string());

/** What an external plugin may answer: an outcome as JSON. */
export const outcomeSchema = z.strictObject({
  continue: z.boolean().optional(),
  modify: z.unknown().optional(),
  block: z
    .strictObject({
      reason: z.string(),
      description: z.string(),
      code: z.string(),
      details: fields.optional(),
      httpStatus: z.int().min(100).max(599).optional(),
      mcpErrorCode: z.int().optional(),
      headers: headers.optional(),
    })
    .optional(),
  metadata: fields.optional(),
  headers: headers.optional(),
  retryDelayMs: z.number().nonnegative().optional(),
});

/** The manifest of an external plugin: everything but its code. */
export type ExternalManifest = Pick<PluginDefinition, "name" | "hooks"> &
  Partial<Pick<PluginDefinition, "version" | "description" | "tags" | "defaults">> & {
    /** Name of the plugin on the other side. Default: `name`. */
    readonly remoteName?: string;
  };

function remoteContext(context: PluginContext): RemoteHookCall["context"] {
  const { requestId, user, tenantId, serverId, clientIp, mode } = context;
  return { requestId, user: takeOver(user), mode, ...dropMissing({ tenantId, serverId, clientIp }) };
}

function dropMissing<T extends object>(fields: T): Partial<{ [K in keyof T]: NonNullable<T[K]> }> {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as Partial<{ [K in keyof T]: NonNullable<T[K]> }>;
}

/** A plugin whose handlers are calls over a transport. `transport` is made anew for each instance. */
export function defineExternalPlugin(
  manifest: ExternalManifest,
  transport: () => PluginTransport,
): PluginDefinition {
  const {
    remoteName = manifest.name,
    version = "0.0.0",
    description = `External plugin ${remoteName}.`,
  } = manifest;
  return {
    name: manifest.name,
    version,
    description,
    hooks: manifest.hooks,
    ...(manifest.tags === undefined ? {} : { tags: manifest.tags }),
    ...(manifest.defaults === undefined ? {} : { defaults: manifest.defaults }),
    create(): PluginInstance {
      const remote = transport();
      const handlerOf = (hook: string) => async (payload: unknown, context: PluginContext) => {
        const call = {
          plugin: remoteName,
          hook,
          payload: takeOver(payload),
          context: remoteContext(context),
        };
        const answer = await remote.invoke(call, { signal: context.signal });
        if (answer === undefined || answer === null) return undefined;
        return parseStrictly(outcomeSchema, answer, "outcome");
      };
      const hooks = Object.fromEntries(Object.keys(manifest.hooks).map((hook) => [hook, handlerOf(hook)]));
      return {
        hooks: hooks as { [H in HookName]?: never },
        // Not waited for: one that is away, or hangs, holds up its own calls alone, and may be there at the next.
        initialize: () => void remote.open().catch(() => undefined),
        shutdown: () => remote.close(),
      };
    },
  };
}
