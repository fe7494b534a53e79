import { findPostgres } from "./postgres-binaries.ts";
import { findRedis } from "./redis-binary.ts";
import { findPgBouncer } from "./start-pgbouncer.ts";

/**
 * Fetches what the tests would otherwise download in the middle of a run, and prepares PostgreSQL's template.
 * Run it with `node --conditions=@gatewright/source tools/testkit/src/prefetch.ts`; after one online run it
 * needs no network.
 */
try {
  const [redis, postgres, pgbouncer] = await Promise.all([findRedis(), findPostgres(), findPgBouncer()]);
  console.log(`redis-server: ${redis.path}`);
  console.log(`postgres: ${postgres.postgres}`);
  console.log(`pgbouncer: ${pgbouncer.path}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
