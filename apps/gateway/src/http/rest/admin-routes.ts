import { PluginError } from "@gatewright/plugin-framework";
import { z } from "zod";
import type { GatewayCore } from "../../app/gateway-core.ts";
import { nearestKey } from "../../config/nearest-key.ts";
import { GatewayError } from "../../errors.ts";
import { defineRoute, type RestRequest, type RestRoute } from "./route.ts";

const switchOptions = {
  tenant: z.string().min(1).optional(),
  wipe: z.enum(["auto", "always", "never"]).optional(),
  ttlMs: z.int().min(1).optional(),
  waitFor: z.enum(["none", "quorum", "all"]).optional(),
  timeoutMs: z.int().min(1).max(60_000).optional(),
};
const modeBody = z.strictObject({ mode: z.enum(["enforce", "permissive", "disabled"]), ...switchOptions });
const clearBody = z.strictObject(switchOptions);

/** `/admin/*`: plugins and their modes, sessions. Modes are switched in this process. */
export function adminRoutes({ pipeline, pool, sessions }: GatewayCore): RestRoute[] {
  const known = (name: string | undefined) => {
    const names = pipeline.list().map((plugin) => plugin.plugin);
    if (name !== undefined && names.includes(name)) return name;
    const near = nearestKey(name ?? "", names);
    throw new GatewayError("not_found", `there is no plugin "${name}"; known: ${names.join(", ")}`, {
      details: { known: names, ...(near === undefined ? {} : { nearest: near }) },
    });
  };
  const switchMode = async (request: RestRequest<z.infer<typeof modeBody>, unknown>) => {
    const name = known(request.params["name"]);
    const { mode, ...options } = request.body;
    return passing(() =>
      pipeline.setMode(name, mode, { ...defined(options), setBy: request.principal?.user ?? "unknown" }),
    );
  };
  return [
    defineRoute({
      method: "GET",
      path: "/admin/plugins",
      summary: "List plugins with their modes",
      access: "admin",
      handle: () => ({ items: pipeline.list(), total: pipeline.list().length }),
    }),
    defineRoute({
      method: "GET",
      path: "/admin/plugins/{name}/mode",
      summary: "Which layer decides a plugin's mode",
      access: "admin",
      handle: ({ params }) => pipeline.explainMode(known(params["name"])),
    }),
    defineRoute({
      method: "PUT",
      path: "/admin/plugins/{name}/mode",
      summary: "Switch a plugin's mode",
      access: "admin",
      body: modeBody,
      handle: switchMode,
    }),
    defineRoute({
      method: "PUT",
      path: "/admin/plugins/{name}",
      summary: "Switch a plugin's mode",
      access: "admin",
      body: modeBody,
      handle: switchMode,
    }),
    defineRoute({
      method: "DELETE",
      path: "/admin/plugins/{name}/mode",
      summary: "Return to the mode of the configuration",
      access: "admin",
      body: clearBody,
      handle: async ({ params, body, principal }) => {
        const name = known(params["name"]);
        return passing(() =>
          pipeline.clearMode(name, { ...defined(body), setBy: principal?.user ?? "unknown" }),
        );
      },
    }),
    defineRoute({
      method: "GET",
      path: "/admin/sessions",
      summary: "Sessions of clients and with upstreams",
      access: "admin",
      handle: () => ({ clients: sessions.size, upstreams: pool.stats() }),
    }),
  ];
}

/** Drops members that were not given: options must not be present as undefined. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const given = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(given) as { [K in keyof T]: Exclude<T[K], undefined> };
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
