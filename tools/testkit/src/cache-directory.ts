import { join } from "node:path";

/** What survives between test runs: downloaded servers and the template of a PostgreSQL data directory. */
export const cacheDirectory = join(import.meta.dirname, "../../../node_modules/.cache/gatewright");
