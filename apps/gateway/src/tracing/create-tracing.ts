import type { Tracing } from "./call-trace.ts";

/** Where every copy of the OpenTelemetry API, version 1, keeps what was registered in this process. */
const registry = Symbol.for("opentelemetry.js.api.1");

/**
 * Spans of calls, where an OpenTelemetry SDK was registered before the gateway started (`node --import`). Without one
 * there is nothing: the API is not even loaded, and a call costs nothing more.
 */
export async function createTracing(): Promise<Tracing | undefined> {
  if (!(registry in globalThis)) return undefined;
  const { OpenTelemetryTracing } = await import("./open-telemetry-tracing.ts");
  return new OpenTelemetryTracing();
}
