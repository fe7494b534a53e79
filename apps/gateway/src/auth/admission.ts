import type { IncomingMessage } from "node:http";
import type { PluginPipeline } from "@gatewright/plugin-framework";
import { refusalOf } from "../calls/call-failure.ts";
import { GatewayError } from "../errors.ts";
import { headerMapOf, type RequestHooks } from "../http/request-hooks.ts";
import { type Authenticator, requireAdmin, requireScope, requireUnlimited } from "./authenticator.ts";
import { type Principal, principalOf } from "./principal.ts";

/** What a request wants to do: any valid token `read`s, MCP and administration need their scopes. */
export type Permission = "mcp" | "read" | "admin";

/** Lets requests in. */
export interface Admission {
  /**
   * Who makes a request, if they may do what they want; without a promise when the token is known and no plugin has a
   * say.
   *
   * @throws {GatewayError} `unauthorized`, `forbidden`, or what a plugin refuses with
   */
  admit(request: IncomingMessage, permission: Permission): Principal | Promise<Principal>;
}

/** What admission works with. */
export interface AdmissionDeps {
  readonly authenticator: Authenticator;
  readonly pipeline: PluginPipeline;
  readonly hooks: RequestHooks;
}

/**
 * Admission by token and scope. Plugins come first: `http_auth_resolve_user` may say who it is without a token, and
 * `http_auth_check_permission` has the last word on what they may do.
 */
export function createAdmission({ authenticator, pipeline, hooks }: AdmissionDeps): Admission {
  const asked = () => pipeline.has("http_auth_resolve_user") || pipeline.has("http_auth_check_permission");

  async function ask(request: IncomingMessage, permission: Permission): Promise<Principal> {
    const hooked = hooks.of(request);
    if (hooked === undefined)
      throw new GatewayError("plugin_error", "a request was not announced to plugins");
    const { scope, client } = hooked;
    const who = { headers: headerMapOf(request), client };
    const resolved = await scope.invoke("http_auth_resolve_user", who);
    if (!resolved.allowed && resolved.violation !== undefined) throw refusalOf(resolved.violation);
    const { user } = resolved.payload as { readonly user?: unknown };
    const principal =
      user === undefined
        ? await authenticator.authenticate(request.headers.authorization)
        : principalFrom(user);
    const question = { user: principal.identity, permission, resource: request.url?.split("?")[0] ?? "" };
    const checked = await scope.invoke("http_auth_check_permission", question);
    if (!checked.allowed && checked.violation !== undefined) throw refusalOf(checked.violation);
    const { granted } = checked.payload as { readonly granted?: unknown };
    if (granted === false) throw new GatewayError("forbidden", `a plugin does not grant "${permission}"`);
    if (granted !== true) return permitted(principal, permission);
    // A grant stands for the scope that the token lacks; it does not lift the token's limit to some servers.
    if (permission === "admin") requireUnlimited(principal);
    return principal;
  }

  return {
    admit(request, permission) {
      if (asked()) return ask(request, permission);
      const known = authenticator.authenticate(request.headers.authorization);
      if ("then" in known) return known.then((principal) => permitted(principal, permission));
      return permitted(known, permission);
    },
  };
}

function permitted(principal: Principal, permission: Permission): Principal {
  if (permission === "mcp") requireScope(principal, "mcp");
  else if (permission === "admin") requireAdmin(principal);
  return principal;
}

/** The principal a plugin names: a string, or an object with `sub`, `id` or `email`, and `tenant`, `teams`, `scopes`. */
function principalFrom(user: unknown): Principal {
  const said = (typeof user === "object" && user !== null ? user : { sub: user }) as Record<string, unknown>;
  const name = [said["sub"], said["id"], said["email"]].find((value) => typeof value === "string");
  if (name === undefined || name === "") {
    throw new GatewayError("plugin_error", "a plugin named a user without sub, id or email");
  }
  const { tenant, teams, email, servers, scopes = ["mcp"] } = said;
  // Said of a plugin's name, not of the client, whom principalOf would turn away as unauthorized.
  if (!name.isWellFormed() || (typeof tenant === "string" && !tenant.isWellFormed())) {
    throw new GatewayError("plugin_error", "a plugin named a user or tenant that is not well-formed Unicode");
  }
  const scope = Array.isArray(scopes) ? scopes.join(" ") : String(scopes);
  return principalOf({
    iss: "plugin",
    sub: name,
    tenant,
    teams,
    email,
    scope,
    ...(servers === undefined ? {} : { servers }),
  });
}
