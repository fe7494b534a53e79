import { compileGlob } from "./glob.ts";
import type { ConfiguredMode } from "./mode.ts";
import type { RequestContext } from "./plugin-context.ts";

/** A binding with its patterns compiled. */
export interface CompiledBinding {
  readonly mode: ConfiguredMode | undefined;
  readonly config: Readonly<Record<string, unknown>> | undefined;
  readonly matches: (context: RequestContext, tool: string | undefined) => boolean;
  /** How exact: tenant before server before tool, an exact name before a glob before `*`. */
  readonly rank: number;
}

function exactness(pattern: string): number {
  if (pattern === "*") return 0;
  return /[*?\\]/.test(pattern) ? 1 : 2;
}

function field(pattern: string): (value: string | undefined) => boolean {
  if (pattern === "*") return () => true;
  const matches = compileGlob(pattern);
  return (value) => value !== undefined && matches(value);
}

/** What {@link compileBindings} takes: one plugin's bindings with their defaults filled in. */
export interface BindingInput {
  readonly tenant: string;
  readonly server: string;
  readonly tool: string;
  readonly mode?: ConfiguredMode | undefined;
  readonly config?: Readonly<Record<string, unknown>> | undefined;
}

/** Compiles one plugin's bindings, the most exact last; among equals the later one counts more. */
export function compileBindings(bindings: readonly BindingInput[]): readonly CompiledBinding[] {
  return bindings
    .map(({ tenant, server, tool, mode, config }) => {
      const [tenantIs, serverIs, toolIs] = [field(tenant), field(server), field(tool)];
      return {
        mode,
        config,
        rank: exactness(tenant) * 9 + exactness(server) * 3 + exactness(tool),
        matches: (context: RequestContext, name: string | undefined) =>
          tenantIs(context.tenantId) && serverIs(context.serverId) && toolIs(name),
      };
    })
    .sort((a, b) => a.rank - b.rank);
}
