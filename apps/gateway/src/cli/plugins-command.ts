import { MODES } from "@gatewright/plugin-framework";
import { nearestKey } from "../config/nearest-key.ts";
import { connectGateway, jsonOf } from "./ask-gateway.ts";
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
  if (action === "list") {
    const ask = await connectGateway(values, io);
    const { items } = (await jsonOf(await ask("GET", "/admin/plugins"))) as {
      readonly items: readonly PluginLine[];
    };
    for (const line of items.flatMap(linesOf)) io.out(line);
    return exitCodes.ok;
  }
  if (action !== "mode" || name === undefined) {
    throw new UsageError(`use \`plugins list\` or \`plugins mode NAME [${modes.join("|")}]\``);
  }
  const path = `/admin/plugins/${encodeURIComponent(name)}/mode`;
  if (mode === undefined) {
    const { tenant } = values;
    const query = typeof tenant === "string" ? `?tenant=${encodeURIComponent(tenant)}` : "";
    const ask = await connectGateway(values, io);
    io.out(JSON.stringify(await jsonOf(await ask("GET", `${path}${query}`)), null, 2));
    return exitCodes.ok;
  }
  // What is misspelt is told before anybody is asked.
  const next = oneOf("a mode", mode, modes);
  const options = switchOptions(values);
  const ask = await connectGateway(values, io);
  const response =
    next === "inherit"
      ? await ask("DELETE", path, options)
      : await ask("PUT", path, { mode: next, ...options });
  const report = await followSwitch(response, io.err);
  io.out(JSON.stringify(report, null, 2));
  return report.converged || values["wait"] !== "all" ? exitCodes.ok : exitCodes.failure;
}

const modes = [...MODES, "inherit"];

function oneOf(what: string, word: string, known: readonly string[]): string {
  if (known.includes(word)) return word;
  const near = nearestKey(word, known);
  const hint = near === undefined ? "" : `; did you mean "${near}"?`;
  throw new UsageError(`"${word}" is not ${what}; known: ${known.join(", ")}${hint}`);
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
    waitFor: oneOf("whom --wait can wait for", String(wait), ["all", "quorum", "none"]),
    ...(tenant === undefined ? {} : { tenant }),
    ...(wipe === undefined ? {} : { wipe: oneOf("a --wipe", String(wipe), ["auto", "always", "never"]) }),
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
