import { mintToken } from "../auth/mint-token.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";
import { loadSecret } from "../secret/gateway-secret.ts";
import { sharedBy } from "../secret/shared-by.ts";
import { loadCommandConfig } from "./command-config.ts";
import type { CommandIo } from "./command-io.ts";
import { failedOf } from "./failed-of.ts";
import { type Parsed, UsageError } from "./flags.ts";

/**
 * Asks a running gateway; resolves with an answer that is no refusal.
 *
 * @throws {GatewayError} when nobody answers, with what can be done
 * @throws {UsageError} when the gateway refused, with its words
 */
export type Ask = (method: string, path: string, body?: unknown) => Promise<Response>;

/** The way to the gateway that `--url`, GATEWRIGHT_URL or the configuration names. */
export async function connectGateway(values: Parsed["values"], io: CommandIo): Promise<Ask> {
  const config = await loadCommandConfig(values, io);
  const { base, named } = placeOf(config, values, io);
  const token = await tokenOf(config, values, io);
  return async (method, path, body) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        accept: "text/event-stream, application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((cause: unknown) => {
      const hint = `Start one with \`gatewright serve\`, or say where it runs with --url or GATEWRIGHT_URL.`;
      const message = `no gateway answers at ${base} (${named}): ${failedOf(cause)}. ${hint}`;
      throw new GatewayError("backend_unavailable", message, { cause });
    });
    if (response.ok) return response;
    const answer = (await jsonOf(response)) as { readonly error?: { readonly message: string } };
    throw new UsageError(answer.error?.message ?? `the gateway answered ${response.status}`);
  };
}

/** The JSON of an answer; what has none is hardly a gateway. */
export async function jsonOf(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (cause) {
    const { origin } = new URL(response.url);
    const message = `${origin} answered ${response.status} without JSON; is it a gateway? Say where one runs with --url or GATEWRIGHT_URL.`;
    throw new GatewayError("backend_unavailable", message, { cause });
  }
}

function placeOf(
  { server: { host, port } }: GatewayConfig,
  values: Parsed["values"],
  { env }: CommandIo,
): { readonly base: string; readonly named: string } {
  for (const [named, text] of [
    ["--url", values["url"]],
    ["GATEWRIGHT_URL", env["GATEWRIGHT_URL"]],
  ] as const) {
    if (typeof text !== "string") continue;
    const url = URL.parse(text);
    const usable =
      url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
    if (!usable) throw new UsageError(`${named} has to be a URL as in http://127.0.0.1:4444, without a user`);
    return { base: `${url.origin}${url.pathname.replace(/\/+$/, "")}`, named };
  }
  const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  return { base: `http://${name}:${port}`, named: "server.host and server.port of the configuration" };
}

/** The token given, or one minted for a minute under the deployment's own key. */
async function tokenOf(config: GatewayConfig, values: Parsed["values"], io: CommandIo): Promise<string> {
  const given = values["token"] ?? io.env["GATEWRIGHT_TOKEN"];
  if (typeof given === "string") {
    if (/^[\x20-\x7e]*$/.test(given)) return given;
    throw new UsageError("a token, of --token or GATEWRIGHT_TOKEN, is one line of ASCII");
  }
  return mintToken(loadSecret(config.server.dataDir, io.env, sharedBy(config)), {
    user: "cli",
    scopes: ["admin"],
    audience: config.auth.audience,
    ...(config.auth.issuer === undefined ? {} : { issuer: config.auth.issuer }),
    expiresInSeconds: 60,
  });
}
