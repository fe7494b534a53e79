import type { ZodType } from "zod";
import { compileConditions } from "../conditions.ts";
import type { KnownHook } from "../hook-registry.ts";
import type { PluginRuntime } from "../lifecycle/plugin-runtime.ts";
import { PHASES, type Phase, type Reads } from "../phase.ts";
import type { RequestContext } from "../plugin-context.ts";
import { subjectField } from "../subject.ts";

/** One plugin at one hook. */
export interface Slot {
  readonly plugin: PluginRuntime;
  readonly hook: string;
  readonly phase: Phase;
  readonly reads: Reads;
  readonly mayBlock: boolean;
  readonly mayModify: boolean;
  /** Fields it may write; undefined: all. */
  readonly writes: ReadonlySet<string> | undefined;
  readonly matches: ((context: RequestContext, payload: unknown) => boolean) | undefined;
}

/** Whether a plugin runs in a call: passed over, run, or not before something else is known. */
export type Admission = "skip" | "go" | "wait";

/** The plugins of one hook in the order in which they run, composed once per snapshot. */
export interface Chain {
  readonly hook: string;
  readonly schema: ZodType | undefined;
  /** Field of the payload that names the tool, for bindings. */
  readonly toolField: string | undefined;
  readonly serial: readonly Slot[];
  readonly concurrent: readonly Slot[];
  readonly background: readonly Slot[];
}

function narrowed(all: ReadonlySet<string> | undefined, own: readonly string[] | undefined) {
  if (own === undefined) return all;
  return new Set(all === undefined ? own : own.filter((field) => all.has(field)));
}

function slotOf(plugin: PluginRuntime, hook: KnownHook): Slot | undefined {
  const declared = plugin.definition.hooks[hook.name];
  if (declared === undefined) return undefined;
  const phase = declared.phase ?? "sequential";
  return {
    plugin,
    hook: hook.name,
    phase,
    reads: declared.reads ?? "body",
    mayBlock: phase === "sequential" || phase === "concurrent",
    mayModify: phase === "sequential" || phase === "transform",
    writes: narrowed(hook.writes, declared.writes),
    matches: compileConditions(plugin.conditions, hook.name),
  };
}

/** Sorts by phase, then priority, then registration. Undefined: no plugin has this hook. */
export function composeChain(hook: KnownHook, plugins: readonly PluginRuntime[]): Chain | undefined {
  const slots = plugins
    .flatMap((plugin) => slotOf(plugin, hook) ?? [])
    .sort(
      (a, b) =>
        PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase) ||
        a.plugin.priority - b.plugin.priority ||
        a.plugin.index - b.plugin.index,
    );
  if (slots.length === 0) return undefined;
  const subject = subjectField(hook.name);
  return {
    hook: hook.name,
    schema: hook.schema,
    toolField: subject?.kind === "tool" ? subject.field : undefined,
    serial: slots.filter(({ phase }) => phase !== "concurrent" && phase !== "fire_and_forget"),
    concurrent: slots.filter(({ phase }) => phase === "concurrent"),
    background: slots.filter(({ phase }) => phase === "fire_and_forget"),
  };
}
