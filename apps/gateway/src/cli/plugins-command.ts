import { mintToken } from "../auth/mint-token.ts";
import { loadSecret } from "../secret/gateway-secret.ts";
import { loadCommandConfig } from "./command-config.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";
import { type Parsed, parseFlags, UsageError } from "./flags.ts";

/** `gatewright plugins list` and `plugins mode NAME [MODE]`: asks a running gateway, or switches it. */
export async function pluginsCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, words } = parseFlags(args, {
    url: { type: "string" },
    token: { type: "string" },
    wait: { type: "string", default: "all" },
  });
  const [action = "list", name, mode] = words;
  const ask = await connect(values, io);
  if (action === "list") {
    const { items } = (await ask("GET", "/admin/plugins")) as { readonly items: readonly PluginLine[] };
    for (const { plugin, mode: current, layer, priority } of items) {
      io.out(`${plugin.padEnd(20)} ${current.padEnd(11)} ${layer.padEnd(16)} priority ${priority}`);
    }
    return exitCodes.ok;
  }
  if (action !== "mode" || name === undefined) {
    throw new UsageError("use `plugins list` or `plugins mode NAME [enforce|permissive|disabled|inherit]`");
  }
  const path = `/admin/plugins/${encodeURIComponent(name)}/mode`;
  const report =
    mode === undefined
      ? await ask("GET", path)
      : mode === "inherit"
        ? await ask("DELETE", path)
        : await ask("PUT", path, { mode, waitFor: values["wait"] });
  io.out(JSON.stringify(report, null, 2));
  return exitCodes.ok;
}

interface PluginLine {
  readonly plugin: string;
  readonly mode: string;
  readonly layer: string;
  readonly priority: number;
}

type Ask = (method: string, path: string, body?: unknown) => Promise<unknown>;

async function connect(values: Parsed["values"], io: CommandIo): Promise<Ask> {
  const config = await loadCommandConfig(values, io);
  const given = values["token"] ?? io.env["GATEWRIGHT_TOKEN"];
  const token =
    typeof given === "string"
      ? given
      : await mintToken(loadSecret(config.server.dataDir, io.env), {
          user: "cli",
          scopes: ["admin"],
          audience: config.auth.audience,
          ...(config.auth.issuer === undefined ? {} : { issuer: config.auth.issuer }),
          expiresInSeconds: 60,
        });
  const base =
    values["url"] ?? io.env["GATEWRIGHT_URL"] ?? `http://${config.server.host}:${config.server.port}`;
  return async (method, path, body) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as { readonly error?: { readonly message: string } };
    if (!response.ok)
      throw new UsageError(answer.error?.message ?? `the gateway answered ${response.status}`);
    return answer;
  };
}
