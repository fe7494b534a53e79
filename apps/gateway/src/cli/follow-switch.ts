import type { ConvergenceReport } from "@gatewright/plugin-framework";
import { UsageError } from "./flags.ts";

/**
 * Reads the events of a switch: says every acknowledgement as it arrives and returns the report.
 *
 * @throws {UsageError} when the gateway refused, or went away before the report
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
  throw new UsageError("the gateway went away before its report");
}

async function* eventsOf(response: Response): AsyncGenerator<{ event: string; data: unknown }> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of response.body ?? []) {
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
