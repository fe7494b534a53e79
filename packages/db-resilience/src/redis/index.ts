export {
  createRedisFenceStore,
  type RedisFenceClient,
  type RedisFenceStoreOptions,
} from "./redis-fence-store.ts";
