import type { BoundField, CompiledBinding } from "./bindings.ts";
import type { RequestContext } from "./plugin-context.ts";

/** Finds the bindings of a call without asking those that name another tenant, server or tool. */
export class BindingIndex {
  readonly #bindings: readonly CompiledBinding[];
  /** Places in the list of bindings, by the first field that is exact. */
  readonly #tenants = new Map<string, number[]>();
  readonly #servers = new Map<string, number[]>();
  readonly #tools = new Map<string, number[]>();
  readonly #others: number[] = [];

  constructor(bindings: readonly CompiledBinding[]) {
    this.#bindings = bindings;
    bindings.forEach(({ tenant, server, tool }, place) => {
      if (tenant.exact) add(this.#tenants, tenant, place);
      else if (server.exact) add(this.#servers, server, place);
      else if (tool.exact) add(this.#tools, tool, place);
      else this.#others.push(place);
    });
  }

  /** Those that match, in the order of the list. */
  matching(context: RequestContext, tool: string | undefined): readonly CompiledBinding[] {
    const places = [
      ...this.#others,
      ...(this.#tenants.get(context.tenantId ?? "") ?? []),
      ...(this.#servers.get(context.serverId ?? "") ?? []),
      ...(this.#tools.get(tool ?? "") ?? []),
    ];
    return places
      .sort((one, other) => one - other)
      .flatMap((place) => {
        const binding = this.#bindings[place];
        return binding?.matches(context, tool) ? [binding] : [];
      });
  }
}

function add(places: Map<string, number[]>, { example = "" }: BoundField, place: number): void {
  const known = places.get(example);
  if (known === undefined) places.set(example, [place]);
  else known.push(place);
}
