import type {
  ForwardTarget,
  OpenedEnvelope,
  OwnershipHold,
  OwnershipStats,
  RedisOwnership,
  RedisOwnershipDeps,
  SessionLocation,
} from "@gatewright/session-pool/redis";
import { EnvelopeCodec } from "@gatewright/session-pool/redis";
import { GatewayError } from "../errors.ts";
import type { PrimaryLink } from "./primary-link.ts";
import type { SessionPlace } from "./session-directory.ts";

/** What ownership over IPC is made with. */
export interface IpcOwnershipOptions extends Pick<RedisOwnershipDeps, "onEvict"> {
  readonly link: PrimaryLink;
  readonly instanceId: string;
  /** Where the other workers reach this one. */
  readonly advertiseUrl: string;
  /** Keys that vouch for forwarded requests: the first signs, all verify. */
  readonly signKeys: readonly Uint8Array[];
  /** Most sessions that this worker holds. */
  readonly maxOwned: number;
}

const service = "sessions";
const envelopeMaxAgeMs = 30_000;
const maxNonces = 100_000;

/** Ownership of sessions among the workers of one primary, which keeps the directory. A session ends with its worker. */
export function createIpcOwnership(options: IpcOwnershipOptions): RedisOwnership {
  const { link, instanceId, onEvict, maxOwned } = options;
  const owned = new Map<string, { readonly principal: string }>();
  const codec = new EnvelopeCodec({
    keys: options.signKeys,
    instanceId,
    maxAgeMs: envelopeMaxAgeMs,
    maxNonces,
  });
  const counts = { ownershipsLost: 0, noticesReceived: 0 };
  const stops = [
    link.on("session-ended", (session) => {
      if (!owned.delete(String(session))) return;
      counts.noticesReceived++;
      onEvict({ kind: "session", sessionId: String(session) });
    }),
    link.on("server-changed", (data) => {
      const { serverId, from } = data as { readonly serverId: string; readonly from: string };
      if (from === instanceId) return;
      counts.noticesReceived++;
      onEvict({ kind: "server", serverId });
    }),
  ];

  async function close(): Promise<void> {
    for (const stop of stops.splice(0)) stop();
    owned.clear();
    await link.call(service, "leave", instanceId).catch(() => undefined);
  }

  return {
    instanceId,
    start: () => link.call<void>(service, "join", instanceId, options.advertiseUrl),
    async claim(sessionId, principal) {
      if (owned.size >= maxOwned) {
        throw new GatewayError("overloaded", "this worker holds as many sessions as it may", {
          retryAfterMs: 1_000,
        });
      }
      if (!(await link.call<boolean>(service, "claim", sessionId, principal, instanceId))) {
        throw new GatewayError("validation_failed", "the session has an owner already");
      }
      owned.set(sessionId, { principal });
      return { epoch: 1 };
    },
    hold(sessionId): OwnershipHold | undefined {
      const held = owned.get(sessionId);
      if (held === undefined) return undefined;
      // Nobody takes a session over while its worker lives.
      return {
        epoch: 1,
        get certain() {
          return owned.get(sessionId) === held;
        },
      };
    },
    save: async () => undefined,
    async release(sessionId) {
      owned.delete(sessionId);
      await link.call(service, "release", sessionId, instanceId);
    },
    async locate(sessionId, principal): Promise<SessionLocation> {
      const held = owned.get(sessionId);
      if (held !== undefined) {
        return held.principal === principal ? { kind: "mine", epoch: 1, certain: true } : { kind: "foreign" };
      }
      const place = await link.call<SessionPlace | undefined>(service, "locate", sessionId);
      if (place === undefined || place.owner === instanceId) return { kind: "unknown" };
      if (place.principal !== principal) return { kind: "foreign" };
      return { kind: "remote", owner: place.owner, url: place.url, epoch: 1, deadInMs: 0 };
    },
    reclaim: async () => ({ kind: "unknown" }),
    async end(sessionId, principal) {
      owned.delete(sessionId);
      return link.call(service, "end", sessionId, principal);
    },
    async serverChanged(serverId) {
      onEvict({ kind: "server", serverId });
      await link.call(service, "serverChanged", serverId, instanceId);
    },
    whereIs: (instance) => link.call<string | undefined>(service, "where", instance),
    sign: ({ owner, epoch = 0 }: ForwardTarget, sessionId = "", { payload, remainingMs, ...request }) =>
      codec.sign({ to: owner, session: sessionId, epoch, payload, remainingMs }, request),
    judge: (envelope) => codec.judge(envelope),
    open(envelope, sessionId = "", request): OpenedEnvelope | { readonly kind: "misdirected" } {
      const opened = codec.open(envelope, request);
      if (opened.kind === "refused") return opened;
      const { session } = opened.claims;
      const here = session === "" || owned.has(session);
      return here && session === sessionId ? opened : { kind: "misdirected" };
    },
    stats: (): OwnershipStats => ({
      owned: owned.size,
      beats: 0,
      beatFailures: 0,
      pollFailures: 0,
      ...counts,
      reclaims: { won: 0, unresumable: 0, lost: 0, alive: 0, foreign: 0, unknown: 0 },
      envelopesRefused: { ...codec.refused },
      noticesRefused: 0,
    }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
