import { z } from "zod";

/** Where and how the gateway listens. */
export const serverConfig = z
  .strictObject({
    host: z.string().min(1).default("127.0.0.1").describe("Address to listen on."),
    port: z.int().min(0).max(65_535).default(8000).describe("TCP port; 0 takes a free one."),
    workers: z.int().min(1).max(256).default(1).describe("Processes; more than one needs PostgreSQL."),
    dataDir: z.string().min(1).default("./.gatewright").describe("Folder of the registry and the secret."),
    advertiseUrl: z.url().optional().describe("URL under which clients reach the gateway."),
    replicaUrl: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe(
        "URL under which other replicas reach this one; `advertiseUrl`, else host and port, by default.",
      ),
    trustedProxies: z
      .array(z.string())
      .default([])
      .describe("Addresses of proxies whose X-Forwarded-For is believed."),
    allowedOrigins: z
      .array(z.string())
      .default([])
      .describe("Browser origins that may call, beside the gateway's own; `*` allows all."),
    allowedHosts: z
      .array(z.string())
      .default([])
      .describe("Host names accepted beside the loopback names and `advertiseUrl`; `*` accepts all."),
    ssrf: z
      .strictObject({
        allowPrivate: z
          .boolean()
          .optional()
          .describe("Whether upstreams may live on private addresses; true by default on loopback."),
      })
      .prefault({}),
    shutdownDeadlineMs: z
      .int()
      .min(100)
      .max(30_000)
      .default(25_000)
      .describe("Longest wait for calls in flight after SIGTERM, in milliseconds."),
    drainNoticeMs: z
      .int()
      .min(0)
      .max(10_000)
      .default(1_000)
      .describe("How long /ready says 503 before the port is closed, in milliseconds; part of the deadline."),
  })
  .prefault({});
