import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { type Clock, systemClock } from "../clock.ts";
import { NonceMemory } from "./nonce-memory.ts";

/** Why an envelope was refused. */
export type EnvelopeRefusal =
  | "unsigned"
  | "tampered"
  | "misaddressed"
  | "expired"
  | "replayed"
  | "hop_limit"
  | "overloaded";

/** The request that an envelope vouches for. */
export interface EnvelopeRequest {
  readonly method: string;
  readonly path: string;
  readonly body: Uint8Array | string;
}

/** What one replica tells another about a forwarded request. */
export interface EnvelopeClaims {
  /** Instance that signed. */
  readonly from: string;
  /** Instance it is for. */
  readonly to: string;
  /** Downstream session, hashed; empty when the request is for the instance itself. */
  readonly session: string;
  /** Epoch of the owner as the edge saw it; 0 without a session. */
  readonly epoch: number;
  /** What the edge vouches for, in the application's own form: the principal, headers. Travels signed, not encrypted. */
  readonly payload: string;
  /** Time left when it was signed; `undefined` for streams, which have none. */
  readonly remainingMs: number | undefined;
}

/** What `open` says. */
export type OpenedEnvelope =
  | { readonly kind: "accepted"; readonly claims: EnvelopeClaims }
  | { readonly kind: "refused"; readonly reason: EnvelopeRefusal };

/** Options of {@link EnvelopeCodec}. */
export interface EnvelopeOptions {
  /** HMAC keys of 32 bytes or more; the first signs, all verify, so that keys can be rotated. */
  readonly keys: readonly Uint8Array[];
  readonly instanceId: string;
  /** How old an envelope may be, clock difference between replicas included. */
  readonly maxAgeMs: number;
  readonly maxNonces: number;
}

interface Wire extends EnvelopeClaims {
  readonly at: number;
  readonly nonce: string;
  readonly hops: number;
  readonly digest: string;
}

/**
 * Signs and opens forwarding envelopes: `v1.<claims>.<HMAC-SHA-256>`. The claims hold a digest of method, path and
 * body, the addressee, a time stamp and a nonce; an envelope is good once, for one replica and one request, and a
 * request that came in one is never forwarded again (hop limit 1).
 */
export class EnvelopeCodec {
  readonly #options: EnvelopeOptions;
  readonly #clock: Clock;
  readonly #nonces: NonceMemory;
  readonly refused: Record<EnvelopeRefusal, number> = {
    unsigned: 0,
    tampered: 0,
    misaddressed: 0,
    expired: 0,
    replayed: 0,
    hop_limit: 0,
    overloaded: 0,
  };

  constructor(options: EnvelopeOptions, clock: Clock = systemClock) {
    this.#options = options;
    this.#clock = clock;
    // An envelope is good from maxAge before to maxAge after its time stamp.
    this.#nonces = new NonceMemory(2 * options.maxAgeMs, options.maxNonces, clock.now());
  }

  sign(claims: Omit<EnvelopeClaims, "from">, request: EnvelopeRequest, hops = 1): string {
    const wire: Wire = {
      ...claims,
      from: this.#options.instanceId,
      at: this.#clock.wallNow(),
      nonce: randomBytes(16).toString("base64url"),
      hops,
      digest: digestOf(request),
    };
    const body = `v1.${Buffer.from(JSON.stringify(wire)).toString("base64url")}`;
    return `${body}.${mac(body, this.#options.keys[0] ?? new Uint8Array())}`;
  }

  /** Why an envelope is none of ours, for a receiver that reads no body of a stranger; `undefined` when it is one. */
  judge(envelope: string | undefined): "unsigned" | "tampered" | undefined {
    const read = this.#read(envelope);
    if (typeof read !== "string") return undefined;
    this.refused[read]++;
    return read;
  }

  /** Opens an envelope for the request that it came with, once. */
  open(envelope: string | undefined, request: EnvelopeRequest): OpenedEnvelope {
    const result = this.#open(envelope, request);
    if (result.kind === "refused") this.refused[result.reason]++;
    return result;
  }

  #open(envelope: string | undefined, request: EnvelopeRequest): OpenedEnvelope {
    const wire = this.#read(envelope);
    if (typeof wire === "string") return refuse(wire);
    if (wire.digest !== digestOf(request)) return refuse("tampered");
    if (wire.to !== this.#options.instanceId) return refuse("misaddressed");
    if (wire.hops > 1) return refuse("hop_limit");
    if (Math.abs(this.#clock.wallNow() - wire.at) > this.#options.maxAgeMs) return refuse("expired");
    const nonce = this.#nonces.check(wire.nonce, this.#clock.now());
    if (nonce !== "fresh") return refuse(nonce === "seen" ? "replayed" : "overloaded");
    const { from, to, session, epoch, payload, remainingMs } = wire;
    return { kind: "accepted", claims: { from, to, session, epoch, payload, remainingMs } };
  }

  #read(envelope: string | undefined): Wire | "unsigned" | "tampered" {
    const dot = envelope?.lastIndexOf(".") ?? -1;
    if (envelope === undefined || dot < 0 || !envelope.startsWith("v1.")) return "unsigned";
    const body = envelope.slice(0, dot);
    const signature = envelope.slice(dot + 1);
    if (!this.#options.keys.some((key) => same(signature, mac(body, key)))) return "tampered";
    // Signed by one of us: its shape can be trusted from here on.
    return JSON.parse(Buffer.from(body.slice(3), "base64url").toString("utf8")) as Wire;
  }
}

const refuse = (reason: EnvelopeRefusal): OpenedEnvelope => ({ kind: "refused", reason });

function mac(text: string, key: Uint8Array): string {
  return createHmac("sha256", key).update(text).digest("base64url");
}

function same(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

function digestOf({ method, path, body }: EnvelopeRequest): string {
  const hash = createHash("sha256").update(`${method.toUpperCase()}\n${path}\n`);
  return hash.update(body).digest("base64url");
}
