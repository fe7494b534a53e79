import { type NotificationMessage, parseMessage } from "@gatewright/mcp-bridge";

/** The notice that a resource was updated. */
export function resourceUpdated(uri: string): NotificationMessage | undefined {
  const text = JSON.stringify({ jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri } });
  const message = parseMessage(Buffer.from(text));
  return message.kind === "notification" ? message : undefined;
}
