import { z } from "zod";

/** Where the registry lives. */
export const databaseConfig = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .optional()
      .describe("`sqlite:PATH` or `postgres://…`; by default registry.db in the data folder."),
    busyTimeoutMs: z.int().min(0).default(2_000).describe("Wait for another writer of the SQLite file."),
    pollMs: z
      .int()
      .min(50)
      .default(500)
      .describe("How often changes of other processes are looked for, in milliseconds."),
  })
  .prefault({});
