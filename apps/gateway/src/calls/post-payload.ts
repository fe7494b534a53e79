import type { CallOutcome, PostPayload } from "@gatewright/plugin-framework";
import type { HookedCall } from "./call-loop.ts";
import { isTrusted } from "./hindrance.ts";

/** What the post hooks see of an attempt. Built by cases, not by spreads: this runs for every attempt. */
export function postPayload(
  call: HookedCall,
  outcome: CallOutcome,
  attempt: number,
  remainingMs: number,
): PostPayload {
  const { name, annotations, idempotencyKey } = call;
  const serverTrusted = isTrusted(call);
  const payload = { name, outcome, attempt, serverTrusted, remainingMs };
  if (call.resume !== undefined) {
    const given = idempotencyKey === undefined ? payload : { ...payload, idempotencyKey };
    return annotations === undefined
      ? { ...given, attemptsLeft: 0 }
      : { ...given, annotations, attemptsLeft: 0 };
  }
  if (annotations === undefined) {
    return idempotencyKey === undefined ? payload : { ...payload, idempotencyKey };
  }
  if (idempotencyKey === undefined) {
    return { name, outcome, attempt, serverTrusted, annotations, remainingMs };
  }
  return { ...payload, annotations, idempotencyKey };
}
