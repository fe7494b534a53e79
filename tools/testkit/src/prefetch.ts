import { findRedis } from "./redis-binary.ts";

/**
 * Fetches what the tests would otherwise download in the middle of a run. Run it with
 * `node --conditions=@gatewright/source tools/testkit/src/prefetch.ts`; after one online run it needs no network.
 */
try {
  const redis = await findRedis();
  console.log(`redis-server: ${redis.path}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
