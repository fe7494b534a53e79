import { PayloadSizeError } from "../errors.ts";
import { charactersUpTo } from "../payload-size.ts";
import type { Engine } from "./engine.ts";
import type { HandlerCall } from "./handler-call.ts";
import { Entry, keepRecord, type Result } from "./result.ts";

/**
 * May the handler be given the payload? A handler that reads it and may refuse calls fails closed when it is too
 * large; a permissive one is passed over, with a record.
 *
 * @throws PayloadSizeError in mode `enforce`, whatever `onError` says.
 */
export function fits(engine: Engine, result: Result<unknown>, call: HandlerCall): boolean {
  const limit = call.scope.snapshot.payloadCharacters;
  if (charactersUpTo(result.payload, limit) <= limit) return true;
  const error = new PayloadSizeError(call.slot.plugin.name, call.slot.hook, limit);
  const entry = new Entry(call.slot, call.mode, 0);
  entry.status = "error";
  entry.effectiveAllow = call.mode !== "enforce";
  entry.because(error.message);
  keepRecord(engine, result.records, entry);
  if (call.mode === "enforce") throw error;
  return false;
}
