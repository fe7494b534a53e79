import type { ItemKind } from "../../registry/records.ts";
import { pageQuery, registryQuery, withTotal } from "./paging.ts";
import { defineRoute, type RestRoute } from "./route.ts";
import { itemView } from "./upstream-view.ts";
import { visibleUpstreams } from "./visible.ts";

const lists: readonly { readonly path: string; readonly kind: ItemKind; readonly what: string }[] = [
  { path: "/tools", kind: "tool", what: "tools" },
  { path: "/prompts", kind: "prompt", what: "prompts" },
  { path: "/resources", kind: "resource", what: "resources" },
  { path: "/resources/templates", kind: "resource_template", what: "resource templates" },
];

/** `/tools`, `/prompts`, `/resources`: what the upstreams offered when they were last listed. */
export function catalogueRoutes(): RestRoute[] {
  return lists.map(({ path, kind, what }) =>
    defineRoute({
      method: "GET",
      path,
      summary: `List the ${what} of all upstreams`,
      access: "any",
      query: pageQuery,
      handle: async (request) => {
        const { registry } = request;
        const page = await registry.items(kind, {
          ...registryQuery(request.query),
          ...(await visibleUpstreams(registry, request.principal)),
        });
        return { items: withTotal(request, page).map(itemView), total: page.total };
      },
    }),
  );
}
