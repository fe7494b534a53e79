import type { Span } from "@gatewright/mcp-bridge";

/** How an exchange answers its client, whichever transport the request came by. */
export interface Reply {
  /** Whether messages may precede the answer. */
  readonly streamable: boolean;
  /** Adds a response header, where the transport has them. */
  setHeader(name: string, value: string): void;
  /** Sends a message before the answer. False when the client takes none; the message is dropped then. */
  message(bytes: Uint8Array): boolean;
  /** Sends the answer and ends. */
  answer(body: Uint8Array | string, status?: number): void;
  /** Sends a message's bytes as the answer, the span of its id replaced. */
  relay(bytes: Buffer, id: Span, idText: string, status?: number): void;
  /** Ends without an answer: the call was cancelled. */
  abandon(): void;
}
