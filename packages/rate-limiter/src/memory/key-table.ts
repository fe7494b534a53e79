import { FRESH, type KeyState } from "../algorithms/algorithm.ts";

const SHARD_BITS = 10;
const SHARD_SIZE = 1 << SHARD_BITS;
const SHARD_MASK = SHARD_SIZE - 1;

/** Places in a slot's four whole numbers: its key's hash, the next slot of its bucket (or free list), rule, wipe. */
const HASH = 0;
const NEXT = 1;
const RULE = 2;
const WIPE = 3;

/** A fixed block of slots, about 60 bytes each; what is read together lies together. */
class Shard {
  readonly links = new Int32Array(SHARD_SIZE * 4);
  /** Three numbers a slot: time, used, before. */
  readonly state = new Float64Array(SHARD_SIZE * 3);
  readonly id: string[] = new Array<string>(SHARD_SIZE).fill("");
  /** Made when the first key with a tenant arrives. */
  tenant: (string | undefined)[] | undefined = undefined;
  /** Heads of the buckets with the same numbers as the slots; -1 is empty. */
  readonly head = new Int32Array(SHARD_SIZE).fill(-1);
}

/** What names a counter: the number of a rule, the tenant, the id. */
export interface Key {
  readonly rule: number;
  readonly tenant: string | undefined;
  readonly id: string;
}

/**
 * A hash table of key states that never rehashes: linear hashing (Litwin, 1980) adds one bucket for each key
 * and splits one old bucket to fill it, and the slots live in shards that are allocated one at a time and
 * never moved. So the cost of an insertion does not depend on how many keys there are.
 */
export class KeyTable {
  readonly #shards: Shard[] = [new Shard()];
  readonly #logs = new Map<number, readonly number[]>();
  readonly #seed: number;
  #size = 0;
  #highest = 0;
  #free = -1;
  #buckets = 1;
  #lowMask = 0;

  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  get size(): number {
    return this.#size;
  }

  /** One past the highest slot in use so far. */
  get highest(): number {
    return this.#highest;
  }

  hash(rule: number, tenant: string | undefined, id: string): number {
    let h = Math.imul(rule + 1, 0x9e3779b1) ^ this.#seed;
    for (let i = 0; i < id.length; i++) h = Math.imul(h ^ id.charCodeAt(i), 0x01000193);
    if (tenant !== undefined) {
      h = Math.imul(h, 0x85ebca6b);
      for (let i = 0; i < tenant.length; i++) h = Math.imul(h ^ tenant.charCodeAt(i), 0x01000193);
    }
    h ^= h >>> 15;
    h = Math.imul(h, 0x2c1b3c6d);
    return (h ^ (h >>> 13)) & 0x7fffffff;
  }

  /** The slot of a key, or -1. */
  find(hash: number, rule: number, tenant: string | undefined, id: string): number {
    const bucket = this.#bucketOf(hash);
    let slot = (this.#shards[bucket >>> SHARD_BITS] as Shard).head[bucket & SHARD_MASK] as number;
    while (slot >= 0) {
      const shard = this.#shards[slot >>> SHARD_BITS] as Shard;
      const i = slot & SHARD_MASK;
      const links = shard.links;
      const at = i * 4;
      if (
        links[at] === hash &&
        links[at + RULE] === rule &&
        shard.id[i] === id &&
        shard.tenant?.[i] === tenant
      ) {
        return slot;
      }
      slot = links[at + NEXT] as number;
    }
    return -1;
  }

  /** Adds a key that is not there; returns its slot, with a fresh state. */
  insert(hash: number, rule: number, tenant: string | undefined, id: string): number {
    const slot = this.#takeSlot();
    this.#size++;
    if (this.#size > this.#buckets) this.#split();
    const shard = this.#shards[slot >>> SHARD_BITS] as Shard;
    const i = slot & SHARD_MASK;
    shard.links[i * 4 + HASH] = hash;
    shard.links[i * 4 + RULE] = rule;
    if (tenant !== undefined) shard.tenant ??= new Array<string | undefined>(SHARD_SIZE).fill(undefined);
    if (shard.tenant) shard.tenant[i] = tenant;
    shard.id[i] = id;
    this.#link(slot, hash);
    return slot;
  }

  remove(slot: number): void {
    const shard = this.#shards[slot >>> SHARD_BITS] as Shard;
    const i = slot & SHARD_MASK;
    this.#unlink(slot, shard.links[i * 4 + HASH] as number);
    shard.links[i * 4 + HASH] = -1;
    shard.id[i] = "";
    if (shard.tenant) shard.tenant[i] = undefined;
    shard.links[i * 4 + NEXT] = this.#free;
    this.#free = slot;
    this.#size--;
    this.#logs.delete(slot);
  }

  /** The key in a slot, or undefined when the slot is free. */
  keyAt(slot: number): Key | undefined {
    const shard = this.#shards[slot >>> SHARD_BITS];
    const i = slot & SHARD_MASK;
    if (shard === undefined || slot >= this.#highest || (shard.links[i * 4 + HASH] as number) < 0)
      return undefined;
    return {
      rule: shard.links[i * 4 + RULE] as number,
      tenant: shard.tenant?.[i],
      id: shard.id[i] as string,
    };
  }

  /** The state in a slot; a fresh one when it was last written before wipe number `wipe`. */
  load(slot: number, wipe: number): KeyState {
    const shard = this.#shards[slot >>> SHARD_BITS] as Shard;
    const i = slot & SHARD_MASK;
    if ((shard.links[i * 4 + WIPE] as number) < wipe) return FRESH;
    return {
      time: shard.state[i * 3] as number,
      used: shard.state[i * 3 + 1] as number,
      before: shard.state[i * 3 + 2] as number,
      log: this.#logs.size === 0 ? FRESH.log : (this.#logs.get(slot) ?? FRESH.log),
    };
  }

  save(slot: number, state: KeyState, wipe: number): void {
    const shard = this.#shards[slot >>> SHARD_BITS] as Shard;
    const i = slot & SHARD_MASK;
    shard.state[i * 3] = state.time;
    shard.state[i * 3 + 1] = state.used;
    shard.state[i * 3 + 2] = state.before;
    shard.links[i * 4 + WIPE] = wipe;
    if (state.log.length > 0) this.#logs.set(slot, state.log);
    else if (this.#logs.size > 0) this.#logs.delete(slot);
  }

  #takeSlot(): number {
    const free = this.#free;
    if (free >= 0) {
      this.#free = (this.#shards[free >>> SHARD_BITS] as Shard).links[
        (free & SHARD_MASK) * 4 + NEXT
      ] as number;
      return free;
    }
    const slot = this.#highest++;
    this.#shards[slot >>> SHARD_BITS] ??= new Shard();
    return slot;
  }

  #bucketOf(hash: number): number {
    const bucket = hash & ((this.#lowMask << 1) | 1);
    return bucket < this.#buckets ? bucket : hash & this.#lowMask;
  }

  #link(slot: number, hash: number): void {
    const bucket = this.#bucketOf(hash);
    const heads = (this.#shards[bucket >>> SHARD_BITS] as Shard).head;
    (this.#shards[slot >>> SHARD_BITS] as Shard).links[(slot & SHARD_MASK) * 4 + NEXT] = heads[
      bucket & SHARD_MASK
    ] as number;
    heads[bucket & SHARD_MASK] = slot;
  }

  #unlink(slot: number, hash: number): void {
    const bucket = this.#bucketOf(hash);
    const heads = (this.#shards[bucket >>> SHARD_BITS] as Shard).head;
    const after = (this.#shards[slot >>> SHARD_BITS] as Shard).links[
      (slot & SHARD_MASK) * 4 + NEXT
    ] as number;
    let at = heads[bucket & SHARD_MASK] as number;
    if (at === slot) {
      heads[bucket & SHARD_MASK] = after;
      return;
    }
    while (at >= 0) {
      const shard = this.#shards[at >>> SHARD_BITS] as Shard;
      const following = shard.links[(at & SHARD_MASK) * 4 + NEXT] as number;
      if (following === slot) shard.links[(at & SHARD_MASK) * 4 + NEXT] = after;
      at = following === slot ? -1 : following;
    }
  }

  /** Adds one bucket and moves into it what belongs there from the bucket it is split from. */
  #split(): void {
    const from = this.#buckets & this.#lowMask;
    const heads = (this.#shards[from >>> SHARD_BITS] as Shard).head;
    let slot = heads[from & SHARD_MASK] as number;
    heads[from & SHARD_MASK] = -1;
    this.#shards[this.#buckets >>> SHARD_BITS] ??= new Shard();
    this.#buckets++;
    while (slot >= 0) {
      const shard = this.#shards[slot >>> SHARD_BITS] as Shard;
      const following = shard.links[(slot & SHARD_MASK) * 4 + NEXT] as number;
      this.#link(slot, shard.links[(slot & SHARD_MASK) * 4 + HASH] as number);
      slot = following;
    }
    if (this.#buckets === this.#lowMask * 2 + 2) this.#lowMask = this.#lowMask * 2 + 1;
  }
}
