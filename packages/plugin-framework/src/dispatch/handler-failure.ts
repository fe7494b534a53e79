import { handlerFailed, messageOf, PluginError } from "../errors.ts";
import type { Engine } from "./engine.ts";
import type { HandlerCall } from "./handler-call.ts";
import { Entry, keepRecord, type Result } from "./result.ts";

/**
 * Writes down that a handler threw or timed out, and follows its plugin's `onError`; in mode `permissive` nothing
 * follows. Returns the error that must reach the caller, if it must.
 */
export function failHandler(
  engine: Engine,
  result: Result<unknown>,
  call: HandlerCall,
  error: unknown,
): PluginError | undefined {
  const { slot, mode, resolution } = call;
  const timeout = PluginError.is(error) && error.code === "plugin_timeout";
  const enforced = mode === "enforce";
  const fails = enforced && resolution.onError === "fail" && slot.phase !== "fire_and_forget";
  const entry = new Entry(slot, mode, call.durationNs);
  entry.status = timeout ? "timeout" : "error";
  entry.effectiveAllow = !fails;
  if (call.degraded) entry.degraded = true;
  entry.because(messageOf(error));
  keepRecord(engine, result.records, entry);
  if (enforced && resolution.onError === "disable") {
    engine.switchOff(slot.plugin.modes, entry.reason ?? "failed");
  }
  if (!fails) return undefined;
  return timeout ? error : handlerFailed(slot.plugin.name, slot.hook, error);
}
