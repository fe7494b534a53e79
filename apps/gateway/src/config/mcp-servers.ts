import { z } from "zod";
import { headerMap, headerValue, isOfConnection } from "./sent-headers.ts";

const oneAuth = [
  z.strictObject({ type: z.literal("none") }),
  z.strictObject({ type: z.literal("bearer"), token: headerValue.min(1) }),
  z.strictObject({ type: z.literal("basic"), username: z.string(), password: z.string() }),
  z.strictObject({ type: z.literal("headers"), headers: headerMap }),
] as const;

/** One form of proof. */
export const plainAuth = z.discriminatedUnion("type", oneAuth);

/** What the gateway sends to prove itself to an upstream. */
export const upstreamAuth = z.discriminatedUnion("type", [
  ...oneAuth,
  z.strictObject({
    type: z.literal("per_user"),
    users: z
      .record(z.string().min(1).max(512), plainAuth)
      .describe(
        "By `sub` of the caller's token, or `tenant/sub` where it has a tenant; `/` within either is `%2F`, `%` is `%25`.",
      ),
    default: plainAuth.optional().describe("For everybody else, and for the gateway's own requests."),
  }),
]);

/** Settings of an upstream that do not say where it is. */
export const upstreamSettings = {
  stateless: z.boolean().default(false).describe("Sessions may be shared by all callers."),
  trusted: z.boolean().default(false).describe("Its hints (readOnlyHint, idempotentHint) are believed."),
  idempotency: z.boolean().default(false).describe("It honours idempotency keys."),
  child: z.enum(["session", "shared"]).default("session").describe("stdio: a process per session, or one."),
  maxConcurrencyPerSession: z.int().min(1).max(10_000).optional().describe("Calls in flight on one session."),
  caps: z
    .strictObject({
      perKey: z.int().min(1).max(100_000).optional().describe("Sessions of one caller without a session."),
      perServer: z.int().min(1).max(1_000_000).optional().describe("Sessions in all."),
    })
    .optional()
    .describe("Most sessions with it."),
  refreshIntervalSeconds: z
    .number()
    .min(1)
    .max(86_400)
    .optional()
    .describe("Seconds between two listings and two health checks; wins over the tier's interval."),
  tier: z.enum(["hot", "warm", "cold", "dormant"]).optional().describe("Pins it to a tier, however used."),
  passthroughHeaders: z
    .array(
      z
        .string()
        .transform((name) => name.toLowerCase())
        .refine(
          (name) => name !== "authorization" && name !== "cookie" && !isOfConnection(name),
          "may not be passed through",
        ),
    )
    .default([])
    .describe(
      "Request headers of the caller that are sent on; never authorization, cookie or what belongs to the connection.",
    ),
  tags: z.array(z.string()).default([]),
} as const;

const transports = z.enum(["stdio", "http", "streamable-http", "streamableHttp", "streamable_http", "sse"]);

/** One entry of `mcpServers{}`, as clients write it; keys that only concern a client are accepted. */
export const mcpServerEntry = z.strictObject({
  command: z.string().min(1).optional(),
  args: z.array(z.string()).optional(),
  env: z.record(z.string(), z.string()).optional(),
  cwd: z.string().optional(),
  url: z.url({ protocol: /^https?$/ }).optional(),
  headers: headerMap.optional(),
  type: transports.optional(),
  transport: transports.optional(),
  disabled: z.boolean().optional(),
  timeout: z.number().optional().describe("A client's own; not used."),
  autoApprove: z.array(z.string()).optional().describe("A client's own; not used."),
  alwaysAllow: z.array(z.string()).optional().describe("A client's own; not used."),
  description: z.string().optional().describe("A client's own; not used."),
  auth: upstreamAuth.optional(),
  ...upstreamSettings,
});

/** One parsed entry of `mcpServers{}`. */
export type McpServerEntry = z.infer<typeof mcpServerEntry>;

/** Upstreams by name; each has either `command` or `url`. */
export const mcpServersConfig = z
  .record(
    z.string().min(1).max(64),
    mcpServerEntry.refine(
      (entry) => (entry.command === undefined) !== (entry.url === undefined),
      "needs either `command` or `url`",
    ),
  )
  .default({});
