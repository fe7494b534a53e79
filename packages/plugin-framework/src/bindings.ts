import { compileGlob } from "./glob.ts";
import type { ConfiguredMode } from "./mode.ts";
import type { RequestContext } from "./plugin-context.ts";

/** A pattern of a binding, and a text that it matches but hardly any other pattern; `*` matches no text, too. */
export interface BoundField {
  readonly exact: boolean;
  readonly matches: (value: string | undefined) => boolean;
  readonly example: string | undefined;
}

/** A binding with its patterns compiled. */
export interface CompiledBinding {
  /** Where it stands in the configuration. */
  readonly path: string;
  readonly mode: ConfiguredMode | undefined;
  readonly config: Readonly<Record<string, unknown>> | undefined;
  readonly matches: (context: RequestContext, tool: string | undefined) => boolean;
  readonly tenant: BoundField;
  readonly server: BoundField;
  readonly tool: BoundField;
  /** How exact: tenant before server before tool, an exact name before a glob before `*`. */
  readonly rank: number;
}

function exactness(pattern: string): number {
  if (pattern === "*") return 0;
  return /[*?\\]/.test(pattern) ? 1 : 2;
}

function field(pattern: string): BoundField {
  if (pattern === "*") return { exact: false, matches: () => true, example: undefined };
  const matches = compileGlob(pattern);
  const example = pattern.replace(/\\(.)|[*?]/gsu, (_, escaped) => escaped ?? "…");
  return {
    exact: exactness(pattern) === 2,
    matches: (value) => value !== undefined && matches(value),
    example,
  };
}

/** What {@link compileBindings} takes: one plugin's bindings with their defaults filled in. */
export interface BindingInput {
  readonly path: string;
  readonly tenant: string;
  readonly server: string;
  readonly tool: string;
  readonly mode?: ConfiguredMode | undefined;
  readonly config?: Readonly<Record<string, unknown>> | undefined;
}

/** Compiles one plugin's bindings, the most exact last; among equals the later one counts more. */
export function compileBindings(bindings: readonly BindingInput[]): readonly CompiledBinding[] {
  return bindings
    .map(({ path, mode, config, ...patterns }) => {
      const [tenant, server, tool] = [field(patterns.tenant), field(patterns.server), field(patterns.tool)];
      return {
        path,
        mode,
        config,
        tenant,
        server,
        tool,
        rank: exactness(patterns.tenant) * 9 + exactness(patterns.server) * 3 + exactness(patterns.tool),
        matches: (context: RequestContext, name: string | undefined) =>
          tenant.matches(context.tenantId) && server.matches(context.serverId) && tool.matches(name),
      };
    })
    .sort((a, b) => a.rank - b.rank);
}
