import { z } from "zod";

/**
 * A text that may become a key or a part of a record: without a lone surrogate, for which there is neither UTF-8 nor a
 * percent-escape.
 */
export const wellFormed = z
  .string()
  .refine((text) => text.isWellFormed(), "must be well-formed Unicode, without a lone surrogate");
