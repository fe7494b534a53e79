import { PayloadSizeError } from "../errors.ts";
import { charactersUpTo } from "../payload-size.ts";
import type { Engine } from "./engine.ts";
import type { HandlerCall } from "./handler-call.ts";
import { Entry, keepRecord, type Result } from "./result.ts";

/**
 * May the handler be given the payload? One that is too large fails the call closed; a permissive handler, and one that
 * runs after the caller has its result, is passed over. Both with a record.
 *
 * @throws PayloadSizeError in mode `enforce`, whatever `onError` says.
 */
export function fits(engine: Engine, result: Result<unknown>, call: HandlerCall): boolean {
  const limit = call.scope.snapshot.payloadCharacters;
  if (charactersUpTo(result.payload, limit) <= limit) return true;
  const error = new PayloadSizeError(call.slot.plugin.name, call.slot.hook, limit);
  const fails = call.mode === "enforce" && call.slot.phase !== "fire_and_forget";
  const entry = new Entry(call.slot, call.mode, 0);
  entry.status = "error";
  entry.effectiveAllow = !fails;
  entry.because(error.message);
  keepRecord(engine, result.records, entry);
  if (fails) throw error;
  return false;
}
