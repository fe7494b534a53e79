import { z } from "zod";
import { wellFormed } from "./well-formed.ts";

const apiKey = z.strictObject({
  name: wellFormed.min(1).describe("Names the key for its operators."),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, "has to be a SHA-256 in hexadecimal, as `gatewright token --api-key` prints it")
    .describe("SHA-256 of the key; the key itself is kept nowhere."),
  user: wellFormed.min(1).optional().describe("Who it stands for; its name by default."),
  tenant: wellFormed.min(1).optional(),
  teams: z.array(z.string()).optional(),
  scopes: z.array(z.enum(["mcp", "admin"])).default(["mcp"]),
  servers: z.array(z.string().min(1)).optional().describe("The only servers it may use."),
  expiresAt: z.iso.datetime({ offset: true }).optional(),
});

/** How callers prove who they are. */
export const authConfig = z
  .strictObject({
    required: z.boolean().default(true).describe("Whether a token is needed; false binds loopback only."),
    audience: z.string().min(1).default("gatewright").describe("Expected `aud` claim."),
    issuer: z.string().min(1).optional().describe("Expected `iss` claim, when set."),
    jwksUrl: z.url().optional().describe("Keys of an identity provider (RS256, ES256)."),
    publicKey: z.string().min(1).optional().describe("One public key in PEM form (RSA or P-256)."),
    apiKeys: z.array(apiKey).max(10_000).default([]).describe("Keys that are accepted beside JWTs."),
    leewaySeconds: z.int().min(0).max(300).default(5).describe("Tolerated clock difference."),
    tokenCacheSize: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(10_000)
      .describe("Verified tokens kept in memory, by hash."),
    tokenCacheSeconds: z
      .int()
      .min(0)
      .max(86_400)
      .default(300)
      .describe("Longest time a verified token is believed without a new check."),
    protectHealth: z.boolean().default(false).describe("Whether /health*, /ready and /metrics need a token."),
  })
  .prefault({});
