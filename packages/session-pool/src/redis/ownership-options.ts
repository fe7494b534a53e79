import { z } from "zod";
import { SessionPoolError } from "../errors.ts";
import { nearestKey } from "../nearest-key.ts";

/** Settings of {@link createRedisOwnership}. Times in milliseconds. */
export interface RedisOwnershipOptions {
  /** URL under which the other replicas reach this one. */
  readonly advertiseUrl: string;
  /** Keys for sealing upstream session ids, 32 bytes each: the first seals, all open. */
  readonly sealKeys: readonly Uint8Array[];
  /** Keys for signing envelopes and notices, at least 32 bytes: the first signs, all verify. */
  readonly signKeys: readonly Uint8Array[];
  /** Default `gw`. */
  readonly prefix?: string;
  /** Default 10 000. */
  readonly heartbeatMs?: number;
  /** Age of the last beat, by Redis TIME, at which an owner counts as dead. Default 30 000; more than `heartbeatMs`, the same on all replicas. */
  readonly deadAfterMs?: number;
  /** How long a record outlives its last beat: the idle time of downstream sessions. Default 1 800 000. */
  readonly sessionTtlMs?: number;
  /** How often missed notices are looked for. Default 500. */
  readonly pollMs?: number;
  /** How long the place of a session on another replica is believed without asking. Default 1 000. */
  readonly locationCacheMs?: number;
  /** Most places that are remembered. Default 10 000. */
  readonly maxLocations?: number;
  /** Most sessions this replica owns. Default 100 000. */
  readonly maxOwned?: number;
  /** How old an envelope or a notice may be, by Redis TIME. Default 30 000. */
  readonly envelopeMaxAgeMs?: number;
  /** Most envelopes remembered per twice that time. Default 1 000 000. */
  readonly maxNonces?: number;
  /** Notices kept for replicas that missed them. Default 1 000. */
  readonly maxNotices?: number;
}

/** {@link RedisOwnershipOptions} with every default filled in. */
export type ResolvedOwnershipOptions = Readonly<Required<RedisOwnershipOptions>>;

const millis = (value: number) =>
  z
    .number()
    .min(1)
    .max(2 ** 31 - 1)
    .default(value);
const count = (value: number) => z.number().int().min(1).default(value);
const bytes = z.instanceof(Uint8Array);

const schema = z.strictObject({
  advertiseUrl: z.string().min(1),
  sealKeys: z.array(bytes.refine((key) => key.byteLength === 32, "32 bytes are needed")).min(1),
  signKeys: z.array(bytes.refine((key) => key.byteLength >= 32, "at least 32 bytes are needed")).min(1),
  prefix: z.string().min(1).default("gw"),
  heartbeatMs: millis(10_000),
  deadAfterMs: millis(30_000),
  sessionTtlMs: millis(1_800_000),
  pollMs: millis(500),
  locationCacheMs: z.number().min(0).default(1000),
  maxLocations: count(10_000),
  maxOwned: count(100_000),
  envelopeMaxAgeMs: millis(30_000),
  maxNonces: count(1_000_000),
  maxNotices: count(1000),
});

/** Checks options once and fills in the defaults. Throws `validation_failed`. */
export function resolveOwnershipOptions(options: RedisOwnershipOptions): ResolvedOwnershipOptions {
  const parsed = schema.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const wrong = issue?.code === "unrecognized_keys" ? issue.keys[0] : undefined;
    const message =
      wrong === undefined
        ? `option "${issue?.path.join(".")}": ${issue?.message}`
        : `unknown option "${wrong}"; did you mean "${nearestKey(wrong, Object.keys(schema.shape))}"?`;
    throw new SessionPoolError("validation_failed", message);
  }
  const { heartbeatMs, deadAfterMs, sessionTtlMs } = parsed.data;
  if (deadAfterMs <= heartbeatMs || sessionTtlMs < deadAfterMs) {
    throw new SessionPoolError("validation_failed", "heartbeatMs < deadAfterMs <= sessionTtlMs must hold");
  }
  return parsed.data;
}
