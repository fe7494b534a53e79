import type { JsonObject } from "../message.ts";
import { isModernRevision, LATEST_MODERN } from "../revisions.ts";
import type { DuplexConnection } from "./duplex-session.ts";
import { initializeParams, modernVerdict, readInitialize, requestedLegacy } from "./http-handshake.ts";
import type { Counters } from "./http-session.ts";
import { encodeRequest, type SpeakerProfile } from "./request-body.ts";
import type { OpenOptions } from "./upstream.ts";
import { UpstreamError } from "./upstream-error.ts";

/** What the handshakes over one shared channel need. */
export interface DuplexHandshakeContext {
  readonly connection: DuplexConnection;
  readonly counters: Counters;
  readonly connectTimeoutMs: number;
  readonly probeTimeoutMs: number;
}

/** A connection that is ready for calls. */
export interface DuplexReady {
  readonly profile: SpeakerProfile;
  readonly handshake: JsonObject;
}

/**
 * Asks a child for its era by `server/discover` (2026-07-28, stdio "Backward Compatibility"): a result is modern;
 * any other answer and silence are legacy.
 *
 * @returns nothing when the child is legacy
 * @throws UpstreamError when the child ended or the caller gave up
 */
export async function probeStdio(
  context: DuplexHandshakeContext,
  options: OpenOptions,
): Promise<DuplexReady | undefined> {
  const { connection, counters, probeTimeoutMs } = context;
  const { clientInfo, capabilities, protocolVersion: requested, signal } = options;
  const discover = async (protocolVersion: string) => {
    const profile: SpeakerProfile = { era: "modern", protocolVersion, clientInfo, capabilities };
    const id = counters.nextId++;
    const encoded = encodeRequest({ method: "server/discover" }, id, profile);
    const answer = await connection.call(id, encoded, probeTimeoutMs, { signal });
    return { profile, answer };
  };
  try {
    const first = requested !== undefined && isModernRevision(requested) ? requested : LATEST_MODERN;
    let { profile, answer } = await discover(first);
    if (answer.kind === "error") {
      const data = answer.value()["data"] as JsonObject | undefined;
      const supported = data?.["supported"];
      const common = Array.isArray(supported)
        ? supported.find((version) => isModernRevision(version))
        : undefined;
      if (typeof common !== "string") return undefined;
      ({ profile, answer } = await discover(common));
    }
    if (answer.kind === "error") return undefined;
    const verdict = modernVerdict(answer.value(), profile.protocolVersion);
    if (verdict.era === "legacy") return undefined;
    return {
      profile: { ...profile, protocolVersion: verdict.protocolVersion },
      handshake: verdict.handshake,
    };
  } catch (error) {
    if (UpstreamError.is(error) && error.code === "upstream_timeout") return undefined;
    throw error;
  }
}

/** The legacy handshake. @throws UpstreamError */
export async function initializeDuplex(
  context: DuplexHandshakeContext,
  options: OpenOptions,
): Promise<DuplexReady> {
  const { connection, counters, connectTimeoutMs } = context;
  const { clientInfo, capabilities, signal } = options;
  const asked: SpeakerProfile = {
    era: "legacy",
    protocolVersion: requestedLegacy(options),
    clientInfo,
    capabilities,
  };
  const id = counters.nextId++;
  const encoded = encodeRequest({ method: "initialize", params: initializeParams(options) }, id, asked);
  const answer = await connection.call(id, encoded, connectTimeoutMs, { signal });
  const { protocolVersion, handshake } = readInitialize(answer);
  await connection.send('{"jsonrpc":"2.0","method":"notifications/initialized"}');
  return { profile: { ...asked, protocolVersion }, handshake };
}
