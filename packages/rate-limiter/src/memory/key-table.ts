import { FRESH, type KeyState, NO_LOG } from "../algorithms/algorithm.ts";

const SHARD_BITS = 10;
const SHARD_SIZE = 1 << SHARD_BITS;
const SHARD_MASK = SHARD_SIZE - 1;

/**
 * A slot is 48 bytes in one piece, so that a check waits for memory once: three whole numbers (hash of the key or -1
 * when free, next slot of its bucket or of the free list, rule), then four floats (wipe, time, used, before).
 */
const SLOT_BYTES = 48;
const LINKS = SLOT_BYTES / 4;
const NUMBERS = SLOT_BYTES / 8;
const NEXT = 1;
const RULE = 2;
/** Where the four floats begin, counted in floats. */
const STATE = 2;
/** Below the number of every wipe. */
const NO_STATE = -1;
/** Two, so that most keys are the first of their bucket: how much further to look, the processor guesses wrong. */
const BUCKETS_PER_KEY = 2;

/** What names a counter: the number of a rule, the tenant, the id. */
export interface Key {
  readonly rule: number;
  readonly tenant: string | undefined;
  readonly id: string;
}

/**
 * A hash table of key states that never rehashes: linear hashing (Litwin, 1980) adds two buckets for each key
 * and splits two old buckets to fill them, and slots and buckets live in shards of 1 024 that are allocated one at a
 * time and never moved. So the cost of an insertion does not depend on how many keys there are. A key takes
 * about 75 bytes beside its name, and no object of its own.
 */
export class KeyTable {
  // Lists of shards; links and states are two views of the same bytes.
  readonly #heads: Int32Array[] = [];
  readonly #links: Int32Array[] = [];
  readonly #states: Float64Array[] = [];
  /** Of each slot the id and the tenant, side by side. */
  readonly #names: (string | undefined)[][] = [];
  // Begins with fractions, so that its fields are floats from the start and need no new object for each value.
  readonly #loaded = { time: 0.5, used: 0.5, before: 0.5, log: NO_LOG };
  readonly #logs = new Map<number, readonly number[]>();
  readonly #seed: number;
  #size = 0;
  #highest = 0;
  #free = -1;
  #buckets = 1;
  #lowMask = 0;

  constructor(seed: number) {
    this.#seed = seed | 0;
    this.#addHeads();
    this.#addShard();
  }

  get size(): number {
    return this.#size;
  }

  /** One past the highest slot in use so far. */
  get highest(): number {
    return this.#highest;
  }

  hash(rule: number, tenant: string | undefined, id: string): number {
    let h = mix(Math.imul(rule + 1, 0x9e3779b1) ^ this.#seed, id);
    if (tenant !== undefined) h = mix(Math.imul(h, 0x85ebca6b), tenant);
    h ^= h >>> 15;
    h = Math.imul(h, 0x2c1b3c6d);
    return (h ^ (h >>> 13)) & 0x7fffffff;
  }

  /** The slot of a key, or -1. */
  find(rule: number, tenant: string | undefined, id: string): number {
    const hash = this.hash(rule, tenant, id);
    const bucket = this.#bucketOf(hash);
    let slot = (this.#heads[bucket >>> SHARD_BITS] as Int32Array)[bucket & SHARD_MASK] as number;
    while (slot >= 0) {
      const links = this.#links[slot >>> SHARD_BITS] as Int32Array;
      const at = (slot & SHARD_MASK) * LINKS;
      if (links[at] === hash && links[at + RULE] === rule && this.#isNamed(slot, tenant, id)) return slot;
      slot = links[at + NEXT] as number;
    }
    return -1;
  }

  /** Is the key still in a slot that it was once in? */
  isAt(slot: number, rule: number, tenant: string | undefined, id: string): boolean {
    const links = this.#links[slot >>> SHARD_BITS] as Int32Array;
    const at = (slot & SHARD_MASK) * LINKS;
    return (links[at] as number) >= 0 && links[at + RULE] === rule && this.#isNamed(slot, tenant, id);
  }

  /** Adds a key that is not there; returns its slot, which holds no state: it reads as fresh. */
  insert(rule: number, tenant: string | undefined, id: string): number {
    const hash = this.hash(rule, tenant, id);
    const slot = this.#takeSlot();
    this.#size++;
    while (this.#buckets < this.#size * BUCKETS_PER_KEY) this.#split();
    const shard = slot >>> SHARD_BITS;
    const i = slot & SHARD_MASK;
    const links = this.#links[shard] as Int32Array;
    links[i * LINKS] = hash;
    links[i * LINKS + RULE] = rule;
    const names = this.#names[shard] as (string | undefined)[];
    names[2 * i] = id;
    names[2 * i + 1] = tenant;
    (this.#states[shard] as Float64Array)[i * NUMBERS + STATE] = NO_STATE;
    this.#link(slot, hash);
    return slot;
  }

  remove(slot: number): void {
    const shard = slot >>> SHARD_BITS;
    const i = slot & SHARD_MASK;
    const links = this.#links[shard] as Int32Array;
    this.#unlink(slot, links[i * LINKS] as number);
    links[i * LINKS] = -1;
    links[i * LINKS + NEXT] = this.#free;
    const names = this.#names[shard] as (string | undefined)[];
    names[2 * i] = undefined;
    names[2 * i + 1] = undefined;
    this.#free = slot;
    this.#size--;
    if (this.#logs.delete(slot) && this.#logs.size === 0) this.#loaded.log = NO_LOG;
  }

  /** The key in a slot, or undefined when the slot is free. */
  keyAt(slot: number): Key | undefined {
    if (slot >= this.#highest) return undefined;
    const shard = slot >>> SHARD_BITS;
    const i = slot & SHARD_MASK;
    const links = this.#links[shard] as Int32Array;
    if ((links[i * LINKS] as number) < 0) return undefined;
    const names = this.#names[shard] as (string | undefined)[];
    return { rule: links[i * LINKS + RULE] as number, tenant: names[2 * i + 1], id: names[2 * i] as string };
  }

  /**
   * The state in a slot; a fresh one when it was last written before wipe number `wipe`. It is one object that the
   * next call fills again: read it before that.
   */
  load(slot: number, wipe: number): KeyState {
    const numbers = this.#states[slot >>> SHARD_BITS] as Float64Array;
    const at = (slot & SHARD_MASK) * NUMBERS + STATE;
    if ((numbers[at] as number) < wipe) return FRESH;
    const state = this.#loaded;
    state.time = numbers[at + 1] as number;
    state.used = numbers[at + 2] as number;
    state.before = numbers[at + 3] as number;
    if (this.#logs.size > 0) state.log = this.#logOf(slot);
    return state;
  }

  save(slot: number, state: KeyState, wipe: number): void {
    const numbers = this.#states[slot >>> SHARD_BITS] as Float64Array;
    const at = (slot & SHARD_MASK) * NUMBERS + STATE;
    numbers[at] = wipe;
    numbers[at + 1] = state.time;
    numbers[at + 2] = state.used;
    numbers[at + 3] = state.before;
    if (state.log !== NO_LOG || this.#logs.size > 0) this.#saveLog(slot, state.log);
  }

  #isNamed(slot: number, tenant: string | undefined, id: string): boolean {
    const names = this.#names[slot >>> SHARD_BITS] as (string | undefined)[];
    const at = (slot & SHARD_MASK) * 2;
    return names[at] === id && names[at + 1] === tenant;
  }

  #logOf(slot: number): readonly number[] {
    return this.#logs.get(slot) ?? NO_LOG;
  }

  #saveLog(slot: number, log: readonly number[]): void {
    if (log.length > 0) this.#logs.set(slot, log);
    else this.#logs.delete(slot);
    if (this.#logs.size === 0) this.#loaded.log = NO_LOG;
  }

  #addHeads(): void {
    this.#heads.push(new Int32Array(SHARD_SIZE).fill(-1));
  }

  #addShard(): void {
    const slots = new ArrayBuffer(SHARD_SIZE * SLOT_BYTES);
    this.#links.push(new Int32Array(slots));
    this.#states.push(new Float64Array(slots));
    this.#names.push(new Array<string | undefined>(SHARD_SIZE * 2).fill(undefined));
  }

  #takeSlot(): number {
    const free = this.#free;
    if (free >= 0) {
      this.#free = this.#nextOf(free);
      return free;
    }
    const slot = this.#highest++;
    if (slot >>> SHARD_BITS >= this.#links.length) this.#addShard();
    return slot;
  }

  #bucketOf(hash: number): number {
    const bucket = hash & ((this.#lowMask << 1) | 1);
    return bucket < this.#buckets ? bucket : hash & this.#lowMask;
  }

  #nextOf(slot: number): number {
    return this.#links[slot >>> SHARD_BITS]?.[(slot & SHARD_MASK) * LINKS + NEXT] as number;
  }

  #setNext(slot: number, next: number): void {
    (this.#links[slot >>> SHARD_BITS] as Int32Array)[(slot & SHARD_MASK) * LINKS + NEXT] = next;
  }

  #link(slot: number, hash: number): void {
    const bucket = this.#bucketOf(hash);
    const heads = this.#heads[bucket >>> SHARD_BITS] as Int32Array;
    this.#setNext(slot, heads[bucket & SHARD_MASK] as number);
    heads[bucket & SHARD_MASK] = slot;
  }

  #unlink(slot: number, hash: number): void {
    const bucket = this.#bucketOf(hash);
    const heads = this.#heads[bucket >>> SHARD_BITS] as Int32Array;
    const after = this.#nextOf(slot);
    let at = heads[bucket & SHARD_MASK] as number;
    if (at === slot) {
      heads[bucket & SHARD_MASK] = after;
      return;
    }
    while (this.#nextOf(at) !== slot) at = this.#nextOf(at);
    this.#setNext(at, after);
  }

  /** Adds one bucket and moves into it what belongs there from the bucket it is split from. */
  #split(): void {
    if (this.#buckets >>> SHARD_BITS >= this.#heads.length) this.#addHeads();
    const from = this.#buckets & this.#lowMask;
    const heads = this.#heads[from >>> SHARD_BITS] as Int32Array;
    let slot = heads[from & SHARD_MASK] as number;
    heads[from & SHARD_MASK] = -1;
    this.#buckets++;
    while (slot >= 0) {
      const following = this.#nextOf(slot);
      this.#link(slot, this.#links[slot >>> SHARD_BITS]?.[(slot & SHARD_MASK) * LINKS] as number);
      slot = following;
    }
    if (this.#buckets === this.#lowMask * 2 + 2) this.#lowMask = this.#lowMask * 2 + 1;
  }
}

/** Mixes a text into a hash, two characters at a time: the multiplications are a chain, and it is what takes time. */
function mix(hash: number, text: string): number {
  let h = hash ^ text.length;
  const even = text.length & ~1;
  for (let i = 0; i < even; i += 2) {
    h = Math.imul(h ^ (text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16)), 0x2c1b3c6d);
    h ^= h >>> 15;
  }
  return even < text.length ? Math.imul(h ^ text.charCodeAt(even), 0x01000193) : h;
}
