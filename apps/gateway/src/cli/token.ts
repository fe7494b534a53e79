import { newApiKey } from "../auth/api-keys.ts";
import { mintToken } from "../auth/mint-token.ts";
import type { Scope } from "../auth/principal.ts";
import { loadSecret } from "../secret/gateway-secret.ts";
import { sharedBy } from "../secret/shared-by.ts";
import { loadCommandConfig } from "./command-config.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { type Parsed, parseFlags, UsageError } from "./flags.ts";

/** `gatewright token`: mints a JWT under the deployment's own key and prints it; or an API key and its entry. */
export async function token(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseFlags(args, {
    user: { type: "string", default: "admin" },
    scope: { type: "string", default: "mcp admin" },
    tenant: { type: "string" },
    server: { type: "string", multiple: true },
    "expires-in": { type: "string", default: "3600" },
    "api-key": { type: "string" },
  });
  if (typeof values["api-key"] === "string") return printApiKey(values["api-key"], values, io);
  const config = await loadCommandConfig(values, io);
  const seconds = Number(values["expires-in"]);
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new UsageError("--expires-in has to be a whole number of seconds, 1 or more");
  const { tenant, server } = values;
  const { audience, issuer } = config.auth;
  io.out(
    mintToken(loadSecret(config.server.dataDir, io.env, sharedBy(config)), {
      user: String(values["user"]),
      scopes: scopesOf(values["scope"]),
      audience,
      ...(issuer === undefined ? {} : { issuer }),
      ...(typeof tenant === "string" ? { tenant } : {}),
      ...(server === undefined ? {} : { servers: server as unknown as string[] }),
      expiresInSeconds: seconds,
    }),
  );
  return exitCodes.ok;
}

/** A key on stdout, once; on stderr the entry for `auth.apiKeys`, which holds its hash. */
function printApiKey(name: string, values: Parsed["values"], io: CommandIo): number {
  const { key, sha256 } = newApiKey();
  const { tenant, server, user } = values;
  const entry = {
    name,
    sha256,
    ...(user === "admin" ? {} : { user }),
    scopes: scopesOf(values["scope"]),
    ...(tenant === undefined ? {} : { tenant }),
    ...(server === undefined ? {} : { servers: server }),
  };
  io.out(key);
  io.err(`add to auth.apiKeys: ${JSON.stringify(entry)}`);
  return exitCodes.ok;
}

function scopesOf(text: unknown): Scope[] {
  return String(text)
    .split(/[\s,]+/)
    .map(scopeOf);
}

function scopeOf(word: string): Scope {
  if (word === "mcp" || word === "admin") return word;
  throw new UsageError(`there is no scope "${word}"; known: mcp, admin`);
}
