import type { ZodType } from "zod";
import { PluginConfigError, PluginError } from "../errors.ts";
import { safely } from "../observer.ts";
import { takeOver } from "../payload-copy.ts";
import type { Violation } from "../violation.ts";
import { applyWrites } from "../write-policy.ts";
import type { AnyOutcome } from "./as-outcome.ts";
import type { Engine } from "./engine.ts";
import type { HandlerCall } from "./handler-call.ts";
import { Entry, keepRecord, type Result } from "./result.ts";

/**
 * Takes over what counts of an outcome under the call's mode and writes the record. Throws when a modified payload
 * is not valid.
 */
export function judge(
  engine: Engine,
  result: Result<unknown>,
  call: HandlerCall,
  outcome: AnyOutcome | undefined,
  schema: ZodType | undefined,
): void {
  const entry = new Entry(call.slot, call.mode, call.durationNs);
  if (call.degraded) entry.degraded = true;
  if (outcome !== undefined) {
    if (call.mode === "disabled") entry.status = "disabled";
    else weigh(engine, result, call, outcome, entry, schema);
  }
  keepRecord(engine, result.records, entry);
}

function weigh(
  engine: Engine,
  result: Result<unknown>,
  call: HandlerCall,
  outcome: AnyOutcome,
  entry: Entry,
  schema: ZodType | undefined,
): void {
  const { slot } = call;
  const { block, modify, headers, metadata, retryDelayMs } = outcome;
  if (modify !== undefined && block === undefined) weighModify(result, call, modify, entry, schema);
  if (retryDelayMs !== undefined) result.addRetryDelay(retryDelayMs);
  if (metadata !== undefined) result.addMetadata(slot.plugin.name, metadata);
  const refusalCounts = block !== undefined && slot.mayBlock && call.mode === "enforce";
  if (headers !== undefined && (block === undefined || refusalCounts)) result.addHeaders(headers);
  if (block !== undefined) weighBlock(engine, result, call, block, entry, outcome.faults);
}

function weighBlock(
  engine: Engine,
  result: Result<unknown>,
  call: HandlerCall,
  block: Violation,
  entry: Entry,
  faults: readonly string[] | undefined,
): void {
  const { slot, mode } = call;
  entry.requestedAllow = false;
  const left = faults === undefined ? "" : `left out ${faults.join(", ")}: `;
  if (!slot.mayBlock) {
    entry.because(`${left}a handler of phase ${slot.phase} cannot block`);
    return;
  }
  const violation: Violation = { ...block, pluginName: slot.plugin.name };
  entry.status = "blocked";
  entry.because(left + violation.reason);
  if (mode === "permissive") {
    result.addShadow(violation);
    const { observer } = engine;
    if (observer?.shadowBlock !== undefined) safely(() => observer.shadowBlock?.(entry, violation));
    return;
  }
  entry.effectiveAllow = false;
  result.allowed = false;
  result.violation = violation;
  if (violation.headers !== undefined) result.addHeaders(violation.headers);
}

function weighModify(
  result: Result<unknown>,
  call: HandlerCall,
  modify: unknown,
  entry: Entry,
  schema: ZodType | undefined,
): void {
  const { slot } = call;
  if (!slot.mayModify) {
    entry.because(`a handler of phase ${slot.phase} cannot modify`);
    return;
  }
  if (typeof modify !== typeof result.payload || modify === null) {
    throw new PluginError("plugin_error", "modify must be a payload of the hook");
  }
  const { payload, dropped } = applyWrites(result.payload, takeOver(modify), slot.writes);
  if (dropped.length > 0) {
    entry.droppedWrites = dropped;
    entry.because(`not writable: ${dropped.join(", ")}`);
  }
  if (payload === result.payload) return;
  const checked = schema?.safeParse(payload);
  if (checked?.success === false) {
    throw new PluginConfigError(
      checked.error.issues.map(({ path, message }) => ({ path: `payload.${path.join(".")}`, message })),
    );
  }
  result.payload = payload;
  entry.modified = true;
}
