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
}

const FIELDS = new Set(["continue", "modify", "block", "metadata", "headers", "retryDelayMs", "authority"]);

/**
 * What a handler returned, if it is an outcome at all. Anything else is the handler's error: a misspelt `block`
 * must not let a call through, and what cannot be merged must not spoil what other plugins said.
 */
export function asOutcome(value: unknown): AnyOutcome | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object") throw notAnOutcome(`a ${typeof value}`);
  for (const key in value) if (!FIELDS.has(key)) throw notAnOutcome(`"${key}"`);
  const outcome: AnyOutcome & { continue?: unknown } = value;
  const { block, headers, metadata, retryDelayMs } = outcome;
  if (block !== undefined) checkBlock(block);
  else if (outcome.continue === false) throw notAnOutcome("continue: false without a block");
  if (headers !== undefined) checkHeaders(headers, "headers");
  if (metadata !== undefined && !isFields(metadata)) throw notAnOutcome("metadata that is no object");
  if (retryDelayMs !== undefined && !(Number.isFinite(retryDelayMs) && retryDelayMs >= 0))
    throw notAnOutcome(`retryDelayMs ${String(retryDelayMs)}`);
  return outcome;
}

function checkBlock(block: Violation): void {
  if (typeof block?.code !== "string") throw notAnOutcome("a block without a code");
  if (typeof block.reason !== "string") throw notAnOutcome("a block without a reason");
  if (block.headers !== undefined) checkHeaders(block.headers, "headers of a block");
  if (block.details !== undefined && !isFields(block.details))
    throw notAnOutcome("details of a block that are no object");
}

function checkHeaders(headers: Readonly<Record<string, unknown>>, what: string): void {
  if (!isFields(headers)) throw notAnOutcome(`${what} that are no object`);
  for (const name in headers) {
    if (typeof headers[name] !== "string") throw notAnOutcome(`${what} whose "${name}" is no text`);
  }
}

function isFields(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function notAnOutcome(found: string): PluginError {
  return new PluginError("plugin_error", `a handler returned ${found}, which is not an outcome`);
}
