import { z } from "zod";

/** Sizes and counts beyond which the gateway refuses. */
export const limitsConfig = z
  .strictObject({
    bodyBytes: z
      .int()
      .min(1_024)
      .max(1_073_741_824)
      .default(4_194_304)
      .describe("Largest request body; larger is answered 413."),
    messageBytes: z
      .int()
      .min(65_536)
      .default(268_435_456)
      .describe("Bytes of messages over 16 KiB that are under way at once; more are refused with 503."),
    messageBytesPerUser: z.int().min(65_536).default(67_108_864).describe("The same, of one user."),
    jsonDepth: z.int().min(8).max(2_000).default(256).describe("Deepest nesting of a body; deeper is 400."),
    headerBytes: z
      .int()
      .min(4_096)
      .max(1_048_576)
      .default(16_384)
      .describe("All request headers; 431 above."),
    headersTimeoutMs: z.int().min(100).default(10_000).describe("Time to send the request headers."),
    requestTimeoutMs: z.int().min(100).default(60_000).describe("Time to send a whole request."),
    connections: z.int().min(1).default(10_000).describe("Open connections; the rest get 503."),
    callTimeoutMs: z
      .int()
      .min(10)
      .default(120_000)
      .describe("Longest time of one call over all its attempts, in milliseconds."),
    itemsPerUpstream: z
      .int()
      .min(1)
      .default(10_000)
      .describe(
        "Tools, prompts, resources and templates of one upstream; one that offers more is not listed.",
      ),
    downstreamSessions: z.int().min(1).default(10_000).describe("Client sessions held at once."),
    downstreamSessionsPerUser: z
      .int()
      .min(1)
      .optional()
      .describe(
        "The same, of one user, where users are told apart; a tenth of all by default. More are refused with 503.",
      ),
    downstreamIdleMs: z
      .int()
      .min(1_000)
      .default(1_800_000)
      .describe("Idle time after which a client session ends, in milliseconds."),
    streamAfterMs: z
      .int()
      .min(1)
      .default(1_000)
      .describe("Time after which an answer in a session becomes a stream that its client can resume."),
    streamKeepAliveMs: z
      .int()
      .min(100)
      .default(15_000)
      .describe("Time between two comments on an open event stream, which keep its connections alive."),
    eventLogEvents: z
      .int()
      .min(1)
      .default(100)
      .describe("Events of a session that are kept for a client that resumes."),
    eventLogBytes: z.int().min(1_024).default(1_048_576).describe("Bytes of such events of one session."),
    eventLogTotalBytes: z.int().min(1_024).default(67_108_864).describe("Bytes of such events in all."),
    streamBufferBytes: z
      .int()
      .min(1_024)
      .default(1_048_576)
      .describe("Unsent bytes of one event stream; a reader slower than that is disconnected."),
    streams: z
      .int()
      .min(1)
      .default(10_000)
      .describe("Event streams and WebSockets open at once; more are refused with 503."),
    streamsPerUser: z.int().min(1).default(2_000).describe("The same, of one user."),
    callsPerChannel: z
      .int()
      .min(1)
      .default(256)
      .describe("Requests in flight on one WebSocket, or one connection of the transport of 2024-11-05."),
    channelPingMs: z
      .int()
      .min(100)
      .default(25_000)
      .describe(
        "How often open streams get a sign of life; a WebSocket that does not answer it until the next is ended.",
      ),
  })
  .prefault({});
