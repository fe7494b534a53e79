import { types } from "node:util";
import { PluginError } from "./errors.ts";
import { behind, copyOf } from "./payload-view.ts";

const DEPTH = 256;

/**
 * What a handler gave back, so that nobody but the pipeline holds it: its own objects are copied (plain
 * ones, arrays, Dates, Maps, Sets, RegExps, buffers and errors), and views are replaced by the objects behind them,
 * which no handler can write into.
 *
 * @throws PluginError when it is nested deeper than 256
 */
export function takeOver<T>(value: T): T {
  return new Copier().copy(value, 0) as T;
}

class Copier {
  /** What is there twice is copied once. */
  #copies: Map<object, object> | undefined;

  copy(value: unknown, depth: number): unknown {
    if (typeof value !== "object" || value === null) return value;
    const original = behind(value);
    if (original !== undefined) return original;
    const known = this.#copies?.get(value);
    if (known !== undefined) return known;
    if (depth > DEPTH) throw new PluginError("plugin_error", `a payload is nested deeper than ${DEPTH}`);
    const made = this.#made(value, depth + 1);
    this.#copies ??= new Map();
    this.#copies.set(value, made);
    return made;
  }

  #made(source: object, depth: number): object {
    if (Array.isArray(source)) return source.map((item) => this.copy(item, depth));
    if (types.isMap(source)) {
      return new Map([...source].map(([key, item]) => [this.copy(key, depth), this.copy(item, depth)]));
    }
    if (types.isSet(source)) return new Set([...source].map((item) => this.copy(item, depth)));
    const prototype: unknown = Object.getPrototypeOf(source);
    if (prototype !== Object.prototype && prototype !== null) return copyOf(source);
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
