import { z } from "zod";
import { wellFormed } from "./well-formed.ts";

/** Checks the options of `setMode` and `clearMode`. */
export const setModeOptionsSchema = z.strictObject({
  tenant: wellFormed.min(1).max(256).optional(),
  wipe: z.enum(["auto", "always", "never"]).optional(),
  ttlMs: z.number().positive().max(8.64e15).optional(),
  waitFor: z.enum(["none", "quorum", "all"]).optional(),
  timeoutMs: z.number().nonnegative().max(600_000).optional(),
  setBy: wellFormed.max(256).optional(),
});
