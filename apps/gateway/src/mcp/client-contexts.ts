import { type JsonObject, META, type NotificationMessage, type RequestMessage } from "@gatewright/mcp-bridge";
import type { Bridge } from "@gatewright/mcp-bridge/bridge";
import type { Implementation, UpstreamSession } from "@gatewright/mcp-bridge/upstream";
import type { DownstreamSession } from "../downstream/downstream-session.ts";
import { gatewayContext, type SessionContext } from "../upstreams/session-context.ts";
import { subscribeAgain } from "./own-subscriptions.ts";
import { isWithdrawal, refuseQuestion } from "./relay-message.ts";

/** What a client with a session gets of a notification that belongs to no call; undefined when it hears it elsewhere. */
export type ShowNotification = (
  session: DownstreamSession,
  upstreamId: string,
  message: NotificationMessage,
) => NotificationMessage | undefined;

/**
 * A session for a client without one: what it says outside a call is offered to the call that runs in it, unless that may
 * be anybody's.
 */
export function modernClientContext(message: RequestMessage, bridge: Pick<Bridge, "offer">): SessionContext {
  const meta = message.params?.["_meta"] as JsonObject;
  const info = meta[META.clientInfo] as Implementation | undefined;
  const capabilities = meta[META.clientCapabilities] as JsonObject;
  return {
    clientInfo: info ?? gatewayContext.clientInfo,
    capabilities,
    streamWaitMs: streamWaitMs(capabilities),
    onMessage: (said, upstream) => {
      if (!bridge.offer(upstream, said)) refuseQuestion(said, upstream);
    },
  };
}

/**
 * Longest wait for the stream on which a server may ask what it does not ask on the stream of a call: a lead over the
 * first call, as many servers send no headers before they have something to say.
 */
const maxStreamWaitMs = 100;

function streamWaitMs(capabilities: JsonObject): number {
  const asked = ["elicitation", "sampling", "roots"].some((key) => capabilities[key] !== undefined);
  return asked ? maxStreamWaitMs : 0;
}

/** A session for a client with one, which is told and asked what the upstream says outside calls. */
export function legacyClientContext(
  session: DownstreamSession,
  upstreamId: string,
  show: ShowNotification,
): SessionContext {
  return {
    ...session.hello,
    era: "legacy",
    // Behind a plain endpoint it is opened with the handshake, before any call.
    streamWaitMs: session.target.kind === "plain" ? 0 : streamWaitMs(session.hello.capabilities),
    onMessage: (message, upstream) => {
      if (message.kind === "notification") {
        const shown = isWithdrawal(message)
          ? session.questions.withdraw(message, upstream)
          : show(session, upstreamId, message)?.bytes;
        if (shown !== undefined) session.deliver(shown);
        return;
      }
      const bytes = session.questions.relay(message, upstream);
      if (bytes !== undefined) session.deliver(bytes);
      else refuseQuestion(message, upstream);
    },
    // It stays what a next owner would go on with until it is open here, whatever fails meanwhile.
    resume: () => session.resumable.get(upstreamId),
    onUnresumable: () => {
      session.resumable.delete(upstreamId);
    },
    onOpen: async (upstream) => {
      session.opened.set(upstream, upstreamId);
      const resumed = session.resumable.delete(upstreamId);
      const told = tellLogLevel(session, upstream);
      void upstream.closed.then(() => {
        session.opened.delete(upstream);
        session.questions.leave(upstream);
        void session.hold?.save();
      });
      // It is kept already. If its connect were given up for a wait, it would be ended upstream, and its state lost.
      if (resumed) return;
      subscribeAgain(session, upstreamId, upstream, show);
      await told;
      // Before the first call: what is not kept could not be gone on with, and nobody would notice.
      await session.hold?.save();
    },
  };
}

/** Longest wait for an upstream to take a log level; the client's calls matter more. */
const maxTellMs = 1_000;

/** A level that the client set before this upstream's session was opened, on an endpoint of several. */
async function tellLogLevel({ logLevel }: DownstreamSession, upstream: UpstreamSession): Promise<void> {
  if (logLevel === undefined || upstream.era !== "legacy" || !("logging" in upstream.capabilities)) return;
  const params = JSON.stringify({ level: logLevel });
  await upstream
    .request({ method: "logging/setLevel", params }, { timeoutMs: maxTellMs })
    .catch(() => undefined);
}
