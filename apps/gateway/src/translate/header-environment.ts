import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Admission } from "../auth/admission.ts";
import type { Principal } from "../auth/principal.ts";

/** Most callers that are remembered; one that is forgotten is made again, and is the same. */
const maxKnown = 1_000;

/**
 * Admission that tells callers apart by the values of some headers, too, and gives each an environment of them. So no
 * session, and no process, is ever shared by callers with different values.
 *
 * @param variables the environment variable that each header (in lower case) is for
 */
export function withHeaderEnvironment(
  admission: Admission,
  variables: ReadonlyMap<string, string>,
): Admission {
  const known = new Map<string, Principal>();

  function principalOf(base: Principal, { headers }: IncomingMessage): Principal {
    const values = [...variables].flatMap(([header, variable]) => {
      const value = headers[header];
      return typeof value === "string" ? [[variable, value] as const] : [];
    });
    const text = JSON.stringify([base.key, [...base.scopes], base.servers && [...base.servers], values]);
    let principal = known.get(text);
    if (principal === undefined) {
      const mark = createHash("sha256").update(JSON.stringify(values)).digest("base64url");
      const environment = Object.fromEntries(values);
      principal = { ...base, key: `${base.key} ${mark}`, user: `${base.user} ${mark}`, environment };
      const [oldest] = known.keys();
      if (known.size >= maxKnown && oldest !== undefined) known.delete(oldest);
    } else known.delete(text);
    known.set(text, principal);
    return principal;
  }

  return {
    admit(request, permission) {
      const base = admission.admit(request, permission);
      return "then" in base
        ? base.then((principal) => principalOf(principal, request))
        : principalOf(base, request);
    },
  };
}
