/** Why the gateway ends a channel. */
export type ChannelEnd =
  /** Its session ended: by DELETE, by an operator, with its server. */
  | "ended"
  /** The gateway stops; the client should come back. */
  | "going_away"
  /** The client's token is no longer valid. */
  | "unauthorized"
  /** The client does not read what it is sent. */
  | "too_slow";

/** One connection that carries a client's whole conversation, both ways: HTTP+SSE or WebSocket. */
export interface Channel {
  /** Sends one message; false once the channel has ended. A client that leaves too much unread is ended. */
  send(message: Uint8Array | string): boolean;
  /** Ends the connection. Idempotent. */
  end(why: ChannelEnd): void;
}
