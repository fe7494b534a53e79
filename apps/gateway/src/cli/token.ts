import { mintToken } from "../auth/mint-token.ts";
import type { Scope } from "../auth/principal.ts";
import { loadSecret } from "../secret/gateway-secret.ts";
import { sharedBy } from "../secret/shared-by.ts";
import { loadCommandConfig } from "./command-config.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { parseFlags, UsageError } from "./flags.ts";

/** `gatewright token`: mints a JWT under the deployment's own key and prints it. */
export async function token(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseFlags(args, {
    user: { type: "string", default: "admin" },
    scope: { type: "string", default: "mcp admin" },
    tenant: { type: "string" },
    server: { type: "string", multiple: true },
    "expires-in": { type: "string", default: "3600" },
  });
  const config = await loadCommandConfig(values, io);
  const seconds = Number(values["expires-in"]);
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new UsageError("--expires-in has to be a whole number of seconds, 1 or more");
  const { tenant, server } = values;
  const { audience, issuer } = config.auth;
  io.out(
    await mintToken(loadSecret(config.server.dataDir, io.env, sharedBy(config)), {
      user: String(values["user"]),
      scopes: String(values["scope"])
        .split(/[\s,]+/)
        .map(scopeOf),
      audience,
      ...(issuer === undefined ? {} : { issuer }),
      ...(typeof tenant === "string" ? { tenant } : {}),
      ...(server === undefined ? {} : { servers: server as unknown as string[] }),
      expiresInSeconds: seconds,
    }),
  );
  return exitCodes.ok;
}

function scopeOf(word: string): Scope {
  if (word === "mcp" || word === "admin") return word;
  throw new UsageError(`there is no scope "${word}"; known: mcp, admin`);
}
