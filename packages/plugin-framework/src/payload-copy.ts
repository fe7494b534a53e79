import { behind } from "./behind.ts";
import { PluginError } from "./errors.ts";
import { copiedAsWhole, isPlain } from "./object-kind.ts";

/** What a handler may write into: its own. */
export type Writable<T> = unknown extends T ? T : { -readonly [K in keyof T]: T[K] };

const DEPTH = 256;

/**
 * A copy of a payload, of a part of one, or of the context's user, for a handler to edit and to return as `modify`.
 * `structuredClone` refuses the read-only views that handlers are given. Plain objects, arrays, Dates, Maps, Sets,
 * RegExps and buffers are copied; an instance of another class, an Error too, and a function are taken as they are.
 *
 * @throws PluginError when it is nested deeper than 256
 *
 * @example
 * tool_pre_invoke: (payload) => {
 *   const edited = copyPayload(payload);
 *   edited.headers = { ...edited.headers, "x-seen": "1" };
 *   return { modify: edited };
 * }
 */
export function copyPayload<T>(payload: T): Writable<T> {
  return new Copier(true).copy(payload, 0) as Writable<T>;
}

/**
 * What a handler gave back, so that nobody but the pipeline holds it: its own objects are copied, as by
 * {@link copyPayload}, and views are replaced by the objects behind them, which no handler can write into.
 */
export function takeOver<T>(value: T): T {
  return new Copier(false).copy(value, 0) as T;
}

class Copier {
  readonly #originalsToo: boolean;
  /** What is there twice is copied once. */
  #copies: Map<object, object> | undefined;

  constructor(originalsToo: boolean) {
    this.#originalsToo = originalsToo;
  }

  copy(value: unknown, depth: number): unknown {
    if (typeof value !== "object" || value === null) return value;
    const original = behind(value);
    if (original !== undefined && !this.#originalsToo) return original;
    const source = original ?? value;
    const known = this.#copies?.get(source);
    if (known !== undefined) return known;
    if (depth > DEPTH) throw new PluginError("plugin_error", `a payload is nested deeper than ${DEPTH}`);
    const made = this.#made(source, depth + 1);
    this.#copies ??= new Map();
    this.#copies.set(source, made);
    return made;
  }

  #made(source: object, depth: number): object {
    if (Array.isArray(source)) return source.map((item) => this.copy(item, depth));
    const prototype: unknown = Object.getPrototypeOf(source);
    if (prototype === Map.prototype) {
      const entries = [...(source as Map<unknown, unknown>)];
      return new Map(entries.map(([key, item]) => [this.copy(key, depth), this.copy(item, depth)]));
    }
    if (prototype === Set.prototype) {
      return new Set([...(source as Set<unknown>)].map((item) => this.copy(item, depth)));
    }
    if (!isPlain(source)) return copiedAsWhole(source) ? copyOfWhole(source) : source;
    // Own fields first: to assign one that is not there yet might reach the prototype's `__proto__`.
    const fields: Record<string, unknown> =
      prototype === null ? Object.assign(Object.create(null), source) : { ...source };
    for (const key of Object.keys(fields)) {
      const field = fields[key];
      if (typeof field === "object" && field !== null) fields[key] = this.copy(field, depth);
    }
    return fields;
  }
}

/** Of a view of a large buffer, only what it shows. */
function copyOfWhole(source: object): object {
  if (!ArrayBuffer.isView(source)) return structuredClone(source);
  if (Buffer.isBuffer(source)) return Buffer.from(source);
  if (!(source instanceof DataView)) return (source as Uint8Array).slice();
  const { buffer, byteOffset, byteLength } = source;
  return new DataView(buffer.slice(byteOffset, byteOffset + byteLength));
}
