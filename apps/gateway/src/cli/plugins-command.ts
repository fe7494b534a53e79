import { mintToken } from "../auth/mint-token.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadSecret } from "../secret/gateway-secret.ts";
import { sharedBy } from "../secret/shared-by.ts";
import { loadCommandConfig } from "./command-config.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { type Parsed, parseFlags, UsageError } from "./flags.ts";
import { followSwitch } from "./follow-switch.ts";

/**
 * `gatewright plugins list` and `plugins mode NAME [MODE]`: asks a running gateway, or switches it. While a switch
 * goes on, the acknowledgements are shown on standard error as they arrive; the report is on standard output.
 */
export async function pluginsCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, words } = parseFlags(args, {
    url: { type: "string" },
    token: { type: "string" },
    wait: { type: "string", default: "all" },
    tenant: { type: "string" },
    wipe: { type: "string" },
    "ttl-ms": { type: "string" },
    "timeout-ms": { type: "string" },
  });
  const [action = "list", name, mode] = words;
  const ask = await connect(values, io);
  if (action === "list") {
    const response = await ask("GET", "/admin/plugins");
    const { items } = (await response.json()) as { readonly items: readonly PluginLine[] };
    for (const line of items.flatMap(linesOf)) io.out(line);
    return exitCodes.ok;
  }
  if (action !== "mode" || name === undefined) {
    throw new UsageError("use `plugins list` or `plugins mode NAME [enforce|permissive|disabled|inherit]`");
  }
  const path = `/admin/plugins/${encodeURIComponent(name)}/mode`;
  if (mode === undefined) {
    const { tenant } = values;
    const query = typeof tenant === "string" ? `?tenant=${encodeURIComponent(tenant)}` : "";
    io.out(JSON.stringify(await (await ask("GET", `${path}${query}`)).json(), null, 2));
    return exitCodes.ok;
  }
  const options = switchOptions(values);
  const response =
    mode === "inherit" ? await ask("DELETE", path, options) : await ask("PUT", path, { mode, ...options });
  const report = await followSwitch(response, io.err);
  io.out(JSON.stringify(report, null, 2));
  return report.converged || values["wait"] !== "all" ? exitCodes.ok : exitCodes.failure;
}

function switchOptions(values: Parsed["values"]): Record<string, unknown> {
  const number = (flag: "ttl-ms" | "timeout-ms") => {
    const value = Number(values[flag]);
    if (!Number.isInteger(value) || value < 1)
      throw new UsageError(`--${flag} has to be a number of milliseconds`);
    return value;
  };
  const { wait, tenant, wipe } = values;
  return {
    waitFor: wait,
    ...(tenant === undefined ? {} : { tenant }),
    ...(wipe === undefined ? {} : { wipe }),
    ...(values["ttl-ms"] === undefined ? {} : { ttlMs: number("ttl-ms") }),
    ...(values["timeout-ms"] === undefined ? {} : { timeoutMs: number("timeout-ms") }),
  };
}

interface PluginLine {
  readonly plugin: string;
  readonly mode: string;
  readonly layer: string;
  readonly priority: number;
  readonly rev: number;
  readonly replicas: readonly { readonly replica: string; readonly mode?: string; readonly rev?: number }[];
}

/** One line, and one more for each replica where there are several. */
function linesOf({ plugin, mode, layer, priority, rev, replicas }: PluginLine): string[] {
  const first = `${plugin.padEnd(20)} ${mode.padEnd(11)} ${layer.padEnd(16)} rev ${rev}  priority ${priority}`;
  if (replicas.length < 2) return [first];
  return [
    first,
    ...replicas.map(
      (each) => `  ${(each.mode ?? "unknown").padEnd(11)} rev ${each.rev ?? "?"}  ${each.replica}`,
    ),
  ];
}

type Ask = (method: string, path: string, body?: unknown) => Promise<Response>;

async function connect(values: Parsed["values"], io: CommandIo): Promise<Ask> {
  const config = await loadCommandConfig(values, io);
  const token = await tokenOf(config, values, io);
  const base =
    values["url"] ?? io.env["GATEWRIGHT_URL"] ?? `http://${config.server.host}:${config.server.port}`;
  return async (method, path, body) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        accept: "text/event-stream, application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (response.ok) return response;
    const answer = (await response.json()) as { readonly error?: { readonly message: string } };
    throw new UsageError(answer.error?.message ?? `the gateway answered ${response.status}`);
  };
}

/** The token given, or one minted for a minute under the deployment's own key. */
async function tokenOf(config: GatewayConfig, values: Parsed["values"], io: CommandIo): Promise<string> {
  const given = values["token"] ?? io.env["GATEWRIGHT_TOKEN"];
  if (typeof given === "string") return given;
  return mintToken(loadSecret(config.server.dataDir, io.env, sharedBy(config)), {
    user: "cli",
    scopes: ["admin"],
    audience: config.auth.audience,
    ...(config.auth.issuer === undefined ? {} : { issuer: config.auth.issuer }),
    expiresInSeconds: 60,
  });
}
