import type { CatalogueItem, ItemKind, ServerRecord, UpstreamRecord } from "./records.ts";
import type { Registry, RegistryContents } from "./registry.ts";

/** The registry as the data path sees it: immutable, replaced as a whole. */
export class Snapshot {
  readonly upstreams: ReadonlyMap<string, UpstreamRecord>;
  readonly servers: ReadonlyMap<string, ServerRecord>;
  readonly #items: ReadonlyMap<string, ReadonlyMap<string, CatalogueItem>>;
  readonly #derived = new Map<string, unknown>();

  constructor(contents: RegistryContents) {
    this.upstreams = new Map(contents.upstreams.map((upstream) => [upstream.id, upstream]));
    this.servers = new Map(contents.servers.map((server) => [server.id, server]));
    const items = new Map<string, Map<string, CatalogueItem>>();
    for (const item of contents.items) {
      const key = itemsKey(item.upstreamId, item.kind);
      let list = items.get(key);
      if (list === undefined) {
        list = new Map();
        items.set(key, list);
      }
      list.set(item.name, item);
    }
    this.#items = items;
  }

  /** The items of one kind of an upstream, by name and in its order. */
  items(upstreamId: string, kind: ItemKind): ReadonlyMap<string, CatalogueItem> {
    return this.#items.get(itemsKey(upstreamId, kind)) ?? none;
  }

  /** Something computed from this snapshot once. */
  derive<T>(key: string, compute: () => T): T {
    if (!this.#derived.has(key)) this.#derived.set(key, compute());
    return this.#derived.get(key) as T;
  }
}

const none: ReadonlyMap<string, CatalogueItem> = new Map();

function itemsKey(upstreamId: string, kind: ItemKind): string {
  return `${upstreamId}/${kind}`;
}

/** Keeps the newest snapshot in memory; calls go on with the last one while the registry cannot be read. */
export class SnapshotHolder {
  readonly #registry: Registry;
  readonly #onError: (error: unknown) => void;
  readonly #listeners = new Set<(snapshot: Snapshot) => void>();
  #current: Snapshot | undefined;
  #loading: Promise<void> | undefined;
  #again = false;

  constructor(registry: Registry, onError: (error: unknown) => void) {
    this.#registry = registry;
    this.#onError = onError;
    registry.onChange(() => void this.refresh().catch(this.#onError));
  }

  /** The newest snapshot, or undefined when none was ever loaded. */
  get current(): Snapshot | undefined {
    return this.#current;
  }

  /** Calls `listener` with every new snapshot; returns how to stop that. */
  onSnapshot(listener: (snapshot: Snapshot) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Loads the registry's state of now, or later; parallel calls share one load. */
  refresh(): Promise<void> {
    if (this.#loading !== undefined) {
      this.#again = true;
      return this.#loading;
    }
    this.#loading = this.#load().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  /**
   * Waits until what was written before is in the snapshot, for as long as `timeoutMs`. Never rejects: the write is made,
   * whatever becomes of the snapshot, which follows by itself.
   */
  async catchUp(timeoutMs = 1_000): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.refresh().catch(this.#onError), late]);
    clearTimeout(timer);
  }

  async #load(): Promise<void> {
    do {
      this.#again = false;
      const snapshot = new Snapshot(await this.#registry.contents());
      this.#current = snapshot;
      for (const listener of this.#listeners) listener(snapshot);
    } while (this.#again);
  }
}
