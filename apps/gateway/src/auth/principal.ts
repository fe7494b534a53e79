import { GatewayError } from "../errors.ts";

/** What a token may be used for. */
export type Scope = "mcp" | "admin";

/** Who makes a request. */
export interface Principal {
  /** Stable and unique over tenants; sessions are bound to it. Never shown in metrics or logs. */
  readonly key: string;
  /** The `sub` claim. */
  readonly user: string;
  /** The user as plugins see it. */
  readonly identity: { readonly sub: string; readonly email?: string };
  readonly tenant?: string;
  readonly teams: readonly string[];
  readonly scopes: ReadonlySet<Scope>;
  readonly isAdmin: boolean;
  /** The only servers this token may use; all when missing. */
  readonly servers?: ReadonlySet<string>;
  /**
   * When the token by which it is known runs out, in milliseconds of the wall clock, the tolerated clock difference
   * included. Missing where it is known otherwise, infinite where its token never does.
   */
  readonly expiresAtMs?: number;
  /** What programs that are started for it find in their environment, beside what everybody's do. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** The one principal of a gateway that asks for no token. */
export const localPrincipal: Principal = {
  key: "local",
  user: "local",
  identity: { sub: "local" },
  teams: [],
  scopes: new Set<Scope>(["mcp", "admin"]),
  isAdmin: true,
};

/**
 * The principal that verified claims stand for.
 *
 * @throws {GatewayError} `unauthorized` where user or tenant can be no part of a key
 */
export function principalOf(claims: Readonly<Record<string, unknown>>): Principal {
  const user = String(claims["sub"]);
  const tenant = typeof claims["tenant"] === "string" ? claims["tenant"] : undefined;
  if (!user.isWellFormed() || tenant?.isWellFormed() === false) {
    throw new GatewayError("unauthorized", "user and tenant have to be well-formed Unicode");
  }
  const words = typeof claims["scope"] === "string" ? claims["scope"].split(" ") : [];
  const scopes = new Set(words.filter((word): word is Scope => word === "mcp" || word === "admin"));
  return {
    key: JSON.stringify([claims["iss"] ?? null, tenant ?? null, user]),
    user,
    identity: { sub: user, ...(typeof claims["email"] === "string" ? { email: claims["email"] } : {}) },
    teams: strings(claims["teams"]),
    scopes,
    isAdmin: scopes.has("admin"),
    ...(tenant === undefined ? {} : { tenant }),
    ...(claims["servers"] === undefined ? {} : { servers: new Set(strings(claims["servers"])) }),
  };
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}
