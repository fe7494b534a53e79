import {
  type OpenOptions,
  UpstreamError,
  type UpstreamMessage,
  type UpstreamSession,
} from "@gatewright/mcp-bridge/upstream";
import {
  createSessionKeys,
  createSessionPool,
  type KeyLimits,
  mcpProbes,
  type SessionFactory,
  type SessionFault,
  type SessionKey,
  type SessionKeys,
  type SessionPool,
  type SessionPoolObserver,
} from "@gatewright/session-pool";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { GatewayError } from "../errors.ts";
import type { UpstreamRecord } from "../registry/records.ts";
import { isDeclaredShared } from "../upstreams/is-shared.ts";
import type { LiveUpstreams } from "../upstreams/live-upstreams.ts";
import { gatewayContext, type SessionContext } from "../upstreams/session-context.ts";

/** The pool of upstream sessions, as the gateway uses it. */
export type UpstreamPool = SessionPool<UpstreamSession, SessionContext>;

/** What the pool is made of. */
export interface PoolWiring {
  readonly config: GatewayConfig;
  readonly upstreams: () => LiveUpstreams;
  /** Reads the registry again, since credentials may have changed; never rejects. */
  readonly reread: () => Promise<void>;
  /** The record of an upstream as it is known. */
  readonly record: (id: string) => UpstreamRecord | undefined;
  /** Takes what an upstream says on its own, beside whoever the session belongs to. */
  readonly hear: (upstreamId: string, message: UpstreamMessage) => void;
  /** Lists an upstream anew, as it is no longer what it was known as; never rejects. */
  readonly relist: (record: UpstreamRecord) => void;
  readonly observer: SessionPoolObserver;
}

/** Keys of sessions; the principal is whoever the caller proved to be, never a header. */
export function wireSessionKeys(secret: Uint8Array): SessionKeys {
  return createSessionKeys({ secret, identityHeaders: [] });
}

/** The session pool over the connections of mcp-bridge. */
export function wireSessionPool(wiring: PoolWiring): UpstreamPool {
  const { bridge, limits } = wiring.config;
  const { owners: _, ...sessions } = wiring.config.sessions;
  const factory: SessionFactory<UpstreamSession, SessionContext> = {
    async connect(key, { signal, context: given, refreshCredentials }) {
      if (refreshCredentials) await wiring.reread();
      // A session that is resumed for nobody would be ended upstream, and its client would find a fresh state.
      signal.throwIfAborted();
      const context: SessionContext = given ?? gatewayContext;
      const record = wiring.record(key.serverId);
      if (record === undefined) throw new GatewayError("not_found", "the gateway of this session is gone");
      // Messages that come before the handshake is over have no session yet to be answered on.
      let opened: UpstreamSession | undefined;
      const { onMessage } = context;
      const wanted = onMessage !== undefined || announcesChanges(record);
      const options: OpenOptions = {
        signal,
        clientInfo: context.clientInfo,
        capabilities: context.capabilities,
        protocolVersion: context.protocolVersion,
        resume: context.resume?.(),
        streamWaitMs: context.streamWaitMs,
        shared: context.shared,
        env: context.env,
        ...(wanted && {
          onMessage: (message: UpstreamMessage) => {
            wiring.hear(record.id, message);
            if (opened !== undefined) onMessage?.(message, opened);
          },
        }),
      };
      try {
        opened = await wiring.upstreams().open(record, context.era ?? "auto", options, context.user);
      } catch (error) {
        if (UpstreamError.is(error) && error.code === "session_lost") context.onUnresumable?.();
        throw error;
      }
      if (remembersCallers(opened, key, record)) {
        await opened.close();
        wiring.relist(record);
        throw new GatewayError(
          "upstream_unreachable",
          "the upstream speaks another revision than it was listed with",
        );
      }
      await context.onOpen?.(opened);
      return opened;
    },
    close: (session, reason) => session.close({ handOver: reason === "handed_over" }),
    probes: mcpProbes<UpstreamSession>({
      eraOf: ({ era }) => era,
      ask: async (session, method, { signal }) => {
        const answer = await session.request({ method }, { signal });
        if (answer.kind === "result") return { kind: "result" };
        return { kind: "error", rpcCode: Number(answer.value()["code"]) };
      },
    }),
    onLost(session, lost) {
      let listening = true;
      void session.closed.then(() => {
        if (listening) lost();
      });
      return () => {
        listening = false;
      };
    },
    classify: classifyUpstreamFault,
  };
  return createSessionPool(
    {
      ...sessions,
      connectTimeoutMs: bridge.connectTimeoutMs,
      downstreamIdleMs: limits.downstreamIdleMs,
    },
    { factory, observer: wiring.observer, limitsOf: (key) => limitsOf(key, wiring.record(key.serverId)) },
  );
}

/**
 * Whether a session that several callers would share turns out to have a state, since the upstream went back to a
 * revision with sessions.
 */
function remembersCallers({ era }: UpstreamSession, key: SessionKey, record: UpstreamRecord): boolean {
  return era === "legacy" && key.strategy === "sessionless" && !isDeclaredShared(record);
}

/** Whether an upstream said that it announces changes of its lists; one that was never asked may. */
function announcesChanges({ self }: UpstreamRecord): boolean {
  if (self === undefined) return true;
  return Object.values(self?.capabilities ?? {}).some((capability) => {
    return (capability as { readonly listChanged?: unknown } | null)?.listChanged === true;
  });
}

/** What a failure of an upstream means for the session it happened on. */
export function classifyUpstreamFault(error: unknown): SessionFault {
  if (!UpstreamError.is(error)) return { kind: "local" };
  const executed = error.phase === "not_sent" || error.phase === "refused" ? { executed: false } : {};
  switch (error.code) {
    case "upstream_unauthorized":
      return { kind: "unauthorized", executed: false };
    case "session_lost":
      return { kind: "session_lost", ...executed };
    case "upstream_timeout":
      return { kind: "timeout", ...executed };
    case "aborted":
      return { kind: "aborted", ...executed };
    case "upstream_unreachable":
    case "closed":
      return { kind: "transport", ...executed };
    default:
      return { kind: isAboutCaller(error) ? "refused" : "application", ...executed };
  }
}

/** HTTP statuses by which an upstream refuses what one caller says or shows, or asks too often. */
const refusals: ReadonlySet<number | undefined> = new Set([400, 403, 429]);

/** Whether an upstream refused something that another caller need not be refused. */
function isAboutCaller({ httpStatus, rpcCode }: UpstreamError): boolean {
  return rpcCode !== undefined || refusals.has(httpStatus);
}

function limitsOf(key: SessionKey, record: UpstreamRecord | undefined): KeyLimits {
  const definition = record?.definition;
  const concurrency = definition?.maxConcurrencyPerSession;
  // A child process that serves calls without a session is one per principal.
  const single = definition?.command !== undefined && key.strategy !== "downstream";
  const { perKey, perServer } = definition?.caps ?? {};
  const maxPerKey = single ? 1 : key.strategy === "downstream" ? undefined : perKey;
  return {
    ...(concurrency === undefined ? {} : { maxConcurrencyPerSession: concurrency }),
    ...(maxPerKey === undefined ? {} : { maxPerKey }),
    ...(perServer === undefined ? {} : { maxPerServer: perServer }),
  };
}
