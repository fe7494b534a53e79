/** A bounded map that makes what it does not have. */
export interface RecentMap<T> {
  get(key: string): T;
  entries(): [string, T][];
}

/**
 * Two generations: when the young one is full it becomes the old one, and what was not asked for while the next
 * filled up is dropped with it. So every step costs the same, and what is in use stays.
 */
export function createRecentMap<T>(make: (key: string) => T, perGeneration: number): RecentMap<T> {
  let young = new Map<string, T>();
  let old = new Map<string, T>();
  return {
    get(key) {
      let value = young.get(key);
      if (value === undefined) {
        value = old.get(key) ?? make(key);
        old.delete(key);
        if (young.size >= perGeneration) {
          old = young;
          young = new Map();
        }
        young.set(key, value);
      }
      return value;
    },
    entries: () => [...young, ...old],
  };
}
