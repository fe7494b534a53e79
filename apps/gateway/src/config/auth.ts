import { z } from "zod";

/** How callers prove who they are. */
export const authConfig = z
  .strictObject({
    required: z.boolean().default(true).describe("Whether a token is needed; false binds loopback only."),
    audience: z.string().min(1).default("gatewright").describe("Expected `aud` claim."),
    issuer: z.string().min(1).optional().describe("Expected `iss` claim, when set."),
    jwksUrl: z.url().optional().describe("Keys of an identity provider (RS256, ES256)."),
    publicKey: z.string().min(1).optional().describe("One public key in PEM form (RSA or P-256)."),
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
