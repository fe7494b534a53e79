import { PluginError } from "../errors.ts";
import type { ModeAuthority } from "../hook-outcome.ts";
import type { Violation } from "../violation.ts";

/** An outcome with the payload's type forgotten. */
export interface AnyOutcome {
  readonly modify?: unknown;
  readonly block?: Violation;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly retryDelayMs?: number;
  readonly authority?: ModeAuthority;
  /** What of a refusal could not be used, and was left out. */
  readonly faults?: readonly string[];
}

const FIELDS = new Set(["continue", "modify", "block", "metadata", "headers", "retryDelayMs", "authority"]);

/**
 * What a handler returned, if it is an outcome at all. Anything else is the handler's error: a misspelt `block`
 * must not let a call through, and what cannot be merged must not spoil what other plugins said. But a block with a code
 * is a block whatever else is wrong: as an error it would let the call through wherever errors are ignored.
 */
export function asOutcome(value: unknown): AnyOutcome | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object") throw notAnOutcome(`a ${typeof value}`);
  const outcome: AnyOutcome & { continue?: unknown } = value;
  const { block, headers, metadata, retryDelayMs } = outcome;
  if (block === undefined && outcome.continue === false)
    throw notAnOutcome("continue: false without a block");
  let fault = unknownField(outcome);
  if (block !== undefined) fault ??= blockFault(block);
  if (headers !== undefined) fault ??= headersFault(headers, "headers");
  if (metadata !== undefined) fault ??= fieldsFault(metadata, "metadata");
  if (retryDelayMs !== undefined) fault ??= delayFault(retryDelayMs);
  if (fault === undefined) return outcome;
  if (typeof block?.code !== "string") throw notAnOutcome(fault);
  return refusal(outcome, block);
}

/** A refusal without what is wrong with it, and with what that was. */
function refusal(outcome: AnyOutcome, block: Violation): AnyOutcome {
  const kept: Record<string, unknown> = { ...block };
  const rest: Record<string, unknown> = { ...outcome, block: kept };
  const faults: string[] = [];
  const drop = (from: Record<string, unknown>, key: string, fault: string | undefined) => {
    if (fault === undefined) return;
    faults.push(fault);
    delete from[key];
  };
  const unknown = unknownField(outcome);
  if (unknown !== undefined) faults.push(unknown);
  drop(kept, "reason", reasonFault(block.reason));
  kept["reason"] ??= block.code;
  drop(kept, "headers", headersFault(block.headers, "headers of a block"));
  drop(kept, "details", fieldsFault(block.details, "details of a block"));
  drop(rest, "headers", headersFault(outcome.headers, "headers"));
  drop(rest, "metadata", fieldsFault(outcome.metadata, "metadata"));
  drop(rest, "retryDelayMs", delayFault(outcome.retryDelayMs));
  return { ...rest, faults };
}

function unknownField(outcome: object): string | undefined {
  for (const key in outcome) if (!FIELDS.has(key)) return `"${key}"`;
  return undefined;
}

function blockFault(block: Violation): string | undefined {
  if (typeof block?.code !== "string") return "a block without a code";
  return (
    reasonFault(block.reason) ??
    headersFault(block.headers, "headers of a block") ??
    fieldsFault(block.details, "details of a block")
  );
}

function reasonFault(reason: unknown): string | undefined {
  return typeof reason === "string" ? undefined : "a block without a reason";
}

function headersFault(headers: unknown, what: string): string | undefined {
  if (headers === undefined) return undefined;
  if (!isFields(headers)) return `${what} that are no object`;
  for (const name in headers) {
    if (typeof headers[name] !== "string") return `${what} whose "${name}" is no text`;
  }
  return undefined;
}

function fieldsFault(fields: unknown, what: string): string | undefined {
  return fields === undefined || isFields(fields) ? undefined : `${what} that is no object`;
}

function delayFault(delayMs: unknown): string | undefined {
  if (delayMs === undefined || (typeof delayMs === "number" && delayMs >= 0 && delayMs !== Infinity))
    return undefined;
  return `retryDelayMs ${String(delayMs)}`;
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function notAnOutcome(found: string): PluginError {
  return new PluginError("plugin_error", `a handler returned ${found}, which is not an outcome`);
}
