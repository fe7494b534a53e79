import { findPostgres } from "./postgres-binaries.ts";
import { findRedis } from "./redis-binary.ts";

/**
 * Fetches what the tests would otherwise download in the middle of a run, and prepares PostgreSQL's template.
 * Run it with `node --conditions=@gatewright/source tools/testkit/src/prefetch.ts`; after one online run it
 * needs no network.
 */
try {
  const [redis, postgres] = await Promise.all([findRedis(), findPostgres()]);
  console.log(`redis-server: ${redis.path}`);
  console.log(`postgres: ${postgres.postgres}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
