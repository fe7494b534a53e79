import { z } from "zod";

/** A text that may become a key, a part of a URL or a row: without a lone surrogate, which cannot be written as UTF-8. */
export const wellFormed = z
  .string()
  .refine((text) => text.isWellFormed(), "has to be well-formed Unicode, without a lone surrogate");
