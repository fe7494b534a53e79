import type { Span } from "./splice.ts";

/** A JSON object after `JSON.parse`. */
export type JsonObject = { readonly [key: string]: unknown };

/** JSON-RPC id as a value. Integers beyond 2^53 lose digits here; `idSpan` keeps them. */
export type JsonRpcId = string | number;

/** Where the fields that a gateway rewrites lie in the bytes. Absent fields are absent. */
export interface ParamsSpans {
  readonly name?: Span;
  readonly uri?: Span;
  readonly taskId?: Span;
  readonly arguments?: Span;
  readonly cursor?: Span;
  readonly requestState?: Span;
  readonly inputResponses?: Span;
  /** `params.requestId` of `notifications/cancelled`. */
  readonly requestId?: Span;
  /** `params.progressToken` of `notifications/progress`. */
  readonly notifiedToken?: Span;
  readonly ref?: Span;
  readonly notifications?: Span;
  readonly meta?: Span;
  /** `params._meta.progressToken`. */
  readonly progressToken?: Span;
  readonly protocolVersion?: Span;
  readonly clientInfo?: Span;
  readonly clientCapabilities?: Span;
  readonly logLevel?: Span;
  readonly subscriptionId?: Span;
}

interface WithParams {
  /** The message's own bytes; all spans point into them. */
  readonly bytes: Buffer;
  readonly method: string;
  readonly methodSpan: Span;
  readonly params?: JsonObject;
  readonly paramsSpan?: Span;
  readonly spans: ParamsSpans;
  /** Unknown members of the envelope as they came: `"a":1,"b":2`. */
  readonly extras?: string;
}

/** A call that wants an answer. */
export interface RequestMessage extends WithParams {
  readonly kind: "request";
  readonly id: JsonRpcId;
  readonly idSpan: Span;
}

/** A one-way message. */
export interface NotificationMessage extends WithParams {
  readonly kind: "notification";
}

/** An answer to a request. */
export interface ResponseMessage {
  readonly kind: "response";
  readonly bytes: Buffer;
  readonly id: JsonRpcId;
  readonly idSpan: Span;
  readonly outcome: "result" | "error";
  /** The result or error value. */
  readonly value: unknown;
  readonly valueSpan: Span;
}

/** Several messages in one body: legal in 2025-03-26 alone. */
export interface BatchMessage {
  readonly kind: "batch";
  /** The whole body; each message has its own part of it for `bytes`. */
  readonly bytes: Buffer;
  readonly messages: readonly SingleMessage[];
}

/** Any message but a batch. */
export type SingleMessage = RequestMessage | NotificationMessage | ResponseMessage;

/** What {@link parseMessage} returns. */
export type Message = SingleMessage | BatchMessage;
