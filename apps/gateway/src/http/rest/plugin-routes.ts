import { MODES, type Mode, PluginError, scopeText } from "@gatewright/plugin-framework";
import { z } from "zod";
import type { GatewayCore } from "../../app/gateway-core.ts";
import { nearestKey } from "../../config/nearest-key.ts";
import { wellFormed } from "../../config/well-formed.ts";
import { GatewayError } from "../../errors.ts";
import { pageQuery, withTotal } from "./paging.ts";
import { defineRoute, type RestRequest, type RestRoute } from "./route.ts";
import { streamSwitch } from "./switch-stream.ts";

const switchOptions = {
  tenant: wellFormed.min(1).max(256).optional(),
  wipe: z.enum(["auto", "always", "never"]).optional(),
  ttlMs: z.int().min(1).optional(),
  waitFor: z.enum(["none", "quorum", "all"]).optional(),
  timeoutMs: z.int().min(1).max(60_000).optional(),
};
const mode = z.enum(MODES, {
  error: ({ input }) => {
    const near = nearestKey(String(input), MODES);
    return `has to be one of ${MODES.join(", ")}${near === undefined ? "" : `; did you mean "${near}"?`}`;
  },
});
const modeBody = z.strictObject({ mode, ...switchOptions });
const clearBody = z.strictObject(switchOptions);
const contextQuery = z.strictObject({ tenant: wellFormed.optional(), server: wellFormed.optional() });
const auditQuery = pageQuery.omit({ name: true });

/** `/admin/plugins` and `/admin/audit`: the modes of plugins on every replica, and who changed them. */
export function pluginRoutes({ pipeline, control, registry }: GatewayCore): RestRoute[] {
  const known = (name: string | undefined) => {
    const names = pipeline.list().map((plugin) => plugin.plugin);
    if (name !== undefined && names.includes(name)) return name;
    const near = nearestKey(name ?? "", names);
    throw new GatewayError("not_found", `there is no plugin "${name}"; known: ${names.join(", ")}`, {
      details: { known: names, ...(near === undefined ? {} : { nearest: near }) },
    });
  };
  const replicasOf = async () => {
    const notes = await control.board.notes();
    return (name: string) =>
      notes.map(({ replica, plugins }) => {
        const note = plugins?.find(({ plugin }) => plugin === name);
        return { replica, ...(note === undefined ? {} : withoutName(note)) };
      });
  };
  /** Switches, and answers when the registry has it too; as an event stream to those who ask for one. */
  const switchTo = async (
    request: RestRequest<z.infer<typeof clearBody>, unknown>,
    next: Mode | undefined,
  ) => {
    const name = known(request.params["name"]);
    const { tenant, wipe, ttlMs, waitFor, timeoutMs } = request.body;
    const options = {
      ...(tenant === undefined ? {} : { tenant }),
      ...(wipe === undefined ? {} : { wipe }),
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(waitFor === undefined ? {} : { waitFor }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      setBy: request.principal?.user ?? "unknown",
    };
    const run = async () => {
      const report = await passing(() =>
        next === undefined ? pipeline.clearMode(name, options) : pipeline.setMode(name, next, options),
      );
      await control.journal.settled();
      return report;
    };
    if (!request.raw.headers.accept?.includes("text/event-stream")) return run();
    const scope = scopeText({ plugin: name, ...(tenant === undefined ? {} : { tenant }) });
    request.reply.type("text/event-stream").header("cache-control", "no-cache, no-transform");
    return streamSwitch(control.acks, scope, run);
  };
  const put = (path: string) =>
    defineRoute({
      method: "PUT",
      path,
      summary: "Switch a plugin's mode; answers with the convergence report",
      access: "admin",
      body: modeBody,
      handle: (request) => {
        const { mode: next, ...options } = request.body;
        return switchTo({ ...request, body: options }, next);
      },
    });
  return [
    defineRoute({
      method: "GET",
      path: "/admin/plugins",
      summary: "List plugins with their modes on every replica",
      access: "admin",
      handle: async () => {
        const replicas = await replicasOf();
        const items = pipeline.list().map((status) => ({ ...status, replicas: replicas(status.plugin) }));
        return { items, total: items.length };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/admin/plugins/{name}/mode",
      summary: "Which layer decides a plugin's mode, and what every replica follows",
      access: "admin",
      query: contextQuery,
      handle: async ({ params, query: { tenant, server } }) => {
        const name = known(params["name"]);
        const context = {
          ...(tenant === undefined ? {} : { tenantId: tenant }),
          ...(server === undefined ? {} : { serverId: server }),
        };
        const replicas = await replicasOf();
        return { ...pipeline.explainMode(name, context), replicas: replicas(name) };
      },
    }),
    put("/admin/plugins/{name}/mode"),
    put("/admin/plugins/{name}"),
    defineRoute({
      method: "DELETE",
      path: "/admin/plugins/{name}/mode",
      summary: "Return to the mode of the configuration",
      access: "admin",
      body: clearBody,
      handle: (request) => switchTo(request, undefined),
    }),
    defineRoute({
      method: "GET",
      path: "/admin/audit",
      summary: "The last changes of plugin modes, the newest first",
      access: "admin",
      query: auditQuery,
      handle: async (request) => {
        await control.journal.settled();
        const page = await registry.plugins.events(request.query);
        return { items: withTotal(request, page), total: page.total };
      },
    }),
  ];
}

function withoutName<T extends { readonly plugin: string }>({ plugin: _, ...rest }: T): Omit<T, "plugin"> {
  return rest;
}

async function passing<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!PluginError.is(error)) throw error;
    const code = error.code === "not_found" || error.code === "conflict" ? error.code : "validation_failed";
    throw new GatewayError(code, error.message, { cause: error });
  }
}
