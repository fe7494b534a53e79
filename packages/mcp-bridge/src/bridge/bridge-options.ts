import { randomUUID } from "node:crypto";
import { z } from "zod";

/** Options of `createBridge`. */
export interface BridgeOptions {
  /** At least 32 bytes, the same on every replica: seals `requestState`. */
  readonly secret: Uint8Array;
  /** Secrets whose states are still accepted. Default none. */
  readonly previousSecrets?: readonly Uint8Array[];
  /** Names this process among its replicas, anew with each start. Default: a random UUID. */
  readonly replica?: string;
  /** How long a question waits for its client, coming back without an answer included; at most 120 000. Default 120 000. */
  readonly parkedTtlMs?: number;
  /** Most calls that wait at once. Default 1 000. */
  readonly maxParked?: number;
  /** Most of them of one principal. Default 20. */
  readonly maxParkedPerPrincipal?: number;
  /** Most questions of one call that are open at once. Default 16. */
  readonly maxQuestions?: number;
  /** Most rounds of questions of a modern server within one call. Default 16. */
  readonly maxRounds?: number;
}

/** {@link BridgeOptions} with their defaults. */
export const bridgeSchema = z.strictObject({
  secret: z.instanceof(Uint8Array),
  previousSecrets: z.array(z.instanceof(Uint8Array)).default([]),
  replica: z
    .string()
    .min(1)
    .default(() => randomUUID()),
  parkedTtlMs: z.int().min(1).max(120_000).default(120_000),
  maxParked: z.int().min(1).default(1_000),
  maxParkedPerPrincipal: z.int().min(1).default(20),
  maxQuestions: z.int().min(1).default(16),
  maxRounds: z.int().min(1).default(16),
});
