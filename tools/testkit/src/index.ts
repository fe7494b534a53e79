export { type EventuallyOptions, eventually } from "./eventually.ts";
export { createFakeClock, type FakeClock, type FakeTimer } from "./fake-clock.ts";
export { type GatewayTokenOptions, mintGatewayToken } from "./gateway-token.ts";
export { type PortReservation, reservePort } from "./reserve-port.ts";
export { seededRandom } from "./seeded-random.ts";
export { type ProcessExit, type ServerProcess, startServerProcess } from "./server-process.ts";
export { type Balancer, startBalancer } from "./start-balancer.ts";
export {
  type Gateway,
  type StartGatewayOptions,
  startGateway,
  startGatewayReplicas,
} from "./start-gateway.ts";
export { type PgBouncer, type StartPgBouncerOptions, startPgBouncer } from "./start-pgbouncer.ts";
export { type PostgresServer, type StartPostgresOptions, startPostgres } from "./start-postgres.ts";
export {
  type PostgresPair,
  type PostgresStandby,
  type StartPostgresPairOptions,
  type StartPostgresStandbyOptions,
  startPostgresPair,
  startPostgresStandby,
} from "./start-postgres-pair.ts";
export { type RedisServer, type StartRedisOptions, startRedis } from "./start-redis.ts";
export {
  type RedisCluster,
  type StartRedisClusterOptions,
  startRedisCluster,
} from "./start-redis-cluster.ts";
export { type RedisSentinel, startRedisSentinel } from "./start-redis-sentinel.ts";
