import type { ConvergenceReport } from "@gatewright/plugin-framework";
import { GatewayError } from "../errors.ts";
import { failedOf } from "./failed-of.ts";
import { UsageError } from "./flags.ts";

/**
 * Reads the events of a switch: says every acknowledgement as it arrives and returns the report.
 *
 * @throws {UsageError} when the gateway refused
 * @throws {GatewayError} when it went away before the report
 */
export async function followSwitch(
  response: Response,
  say: (line: string) => void,
): Promise<ConvergenceReport> {
  let count = 0;
  for await (const { event, data } of eventsOf(response)) {
    switch (event) {
      case "ack": {
        const { replica, ms } = data as { readonly replica: string; readonly ms: number };
        say(`ack ${String(++count).padStart(3)}  ${ms.toFixed(1).padStart(7)} ms  ${replica}`);
        break;
      }
      case "report": {
        const report = data as ConvergenceReport;
        for (const replica of report.missing) say(`no ack           ${replica}`);
        return report;
      }
      case "error":
        throw new UsageError((data as { readonly message: string }).message);
      default:
    }
  }
  throw wentAway("its answer ended", undefined);
}

function wentAway(why: string, cause: unknown): GatewayError {
  const message = `the gateway went away before its report: ${why}. Whether the mode is switched, \`gatewright plugins list\` says.`;
  return new GatewayError("backend_unavailable", message, { cause });
}

async function* bytesOf(response: Response): AsyncGenerator<Uint8Array> {
  try {
    yield* response.body ?? [];
  } catch (cause) {
    throw wentAway(failedOf(cause), cause);
  }
}

async function* eventsOf(response: Response): AsyncGenerator<{ event: string; data: unknown }> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of bytesOf(response)) {
    text += decoder.decode(bytes, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const parts = new Map(
        text
          .slice(0, end)
          .split("\n")
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
      );
      text = text.slice(end + 2);
      yield { event: parts.get("event") ?? "", data: JSON.parse(parts.get("data") ?? "null") };
    }
  }
}
