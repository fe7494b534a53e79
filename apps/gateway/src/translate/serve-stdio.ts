import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { WireError } from "@gatewright/mcp-bridge";
import { LineSplitter } from "@gatewright/mcp-bridge/upstream";
import type { GatewayCore } from "../app/gateway-core.ts";
import { createRequestIds } from "../app/request-ids.ts";
import { localPrincipal } from "../auth/principal.ts";
import { Conversation, readMessage, type Speaker } from "../channels/conversation.ts";
import { HeldMessages } from "../http/held-messages.ts";
import { StdioChannel } from "./stdio-channel.ts";
import { onlyTarget } from "./translate-app.ts";

/** The client's end of a conversation over standard input and output. */
export interface StdioEnds {
  readonly input: Readable;
  readonly output: Writable;
}

/**
 * Serves the one server of a core to whoever started this process, until its input ends and what it asked is answered,
 * or `stopped`.
 */
export async function serveStdio(
  core: GatewayCore,
  { input, output }: StdioEnds,
  stopped: Promise<unknown>,
): Promise<void> {
  const { limits, server } = core.config;
  const channel = new StdioChannel(output, limits.streamBufferBytes);
  const nextRequestId = createRequestIds();
  const conversation = new Conversation(
    {
      ...core.calls,
      sessions: core.sessions,
      replicas: core.replicas,
      held: new HeldMessages(limits),
      limits,
      nextRequestId,
      onFailure: (error, requestId) => core.logger.error({ err: error, requestId }, "a request failed"),
    },
    channel,
  );
  const root = onlyTarget(core.calls.snapshot);
  const speaker: Speaker = {
    user: localPrincipal.key,
    headers: {},
    clientIp: "127.0.0.1",
    identify: async () => ({ principal: localPrincipal, target: root(localPrincipal) }),
  };
  const pending = new Set<Promise<void>>();
  const lines = new LineSplitter({
    maxBytes: limits.bodyBytes,
    tooLong: "fail",
    onTooLong: () =>
      conversation.refuse(
        new WireError("invalid_request", `A message is longer than ${limits.bodyBytes} bytes.`),
        "null",
      ),
    onLine(line) {
      if (line.length === 0) return;
      try {
        const taken = conversation.take(readMessage(line, limits), speaker);
        pending.add(taken);
        void taken.finally(() => pending.delete(taken));
      } catch (error) {
        conversation.refuse(error, "null");
      }
    },
  });
  input.on("data", (chunk: Buffer) => lines.push(chunk));
  const ended = once(input, "close").catch(() => undefined);
  input.once("end", () => lines.end());
  await Promise.race([once(input, "end").catch(() => undefined), ended, channel.ended, stopped]);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, server.shutdownDeadlineMs);
  });
  await Promise.race([Promise.all(pending), channel.ended, stopped, late]);
  clearTimeout(timer);
  conversation.close();
}
