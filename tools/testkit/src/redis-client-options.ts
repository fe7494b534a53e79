import type { Cluster, RedisOptions } from "ioredis";

/** ioredis options with its ordinary reply shapes (its own type does not fit exactOptionalPropertyTypes). */
export type RedisClientOptions = RedisOptions & { replyMapping?: "legacy" };

/** The same for cluster clients. */
export type RedisClusterClientOptions = NonNullable<ConstructorParameters<typeof Cluster>[1]>;
