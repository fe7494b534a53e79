import { BEHIND, behind } from "./behind.ts";
import { PluginError } from "./errors.ts";
import { isPlain } from "./object-kind.ts";
import { copyPayload } from "./payload-copy.ts";

function refuse(): never {
  throw new PluginError("plugin_error", "a payload is read-only: return { modify } to change it");
}

/** Shadow targets of all views: no trap lets a write reach them. */
const SHADOW: object = {};
const SHADOW_ARRAY: object = [];

/**
 * Traps over an empty shadow target, so that a frozen original does not force its own children out unwrapped.
 * A nested view is made when it is first read and kept, so that `view.a === view.a`.
 */
class ViewTraps implements ProxyHandler<object> {
  readonly #source: Record<PropertyKey, unknown>;
  #children: Map<PropertyKey, unknown> | undefined;

  constructor(source: object) {
    this.#source = source as Record<PropertyKey, unknown>;
  }

  get(_: object, key: PropertyKey): unknown {
    if (key === BEHIND) return this.#source;
    const value = this.#source[key];
    if (typeof value !== "object" || value === null) return value;
    const known = this.#children?.get(key);
    if (known !== undefined && behind(known as object) === value) return known;
    const view = readOnly(value);
    this.#children ??= new Map();
    this.#children.set(key, view);
    return view;
  }

  has(_: object, key: PropertyKey): boolean {
    return key in this.#source;
  }

  ownKeys(): ArrayLike<string | symbol> {
    return Reflect.ownKeys(this.#source);
  }

  getOwnPropertyDescriptor(shadow: object, key: PropertyKey): PropertyDescriptor | undefined {
    const own = Reflect.getOwnPropertyDescriptor(this.#source, key);
    if (own === undefined) return undefined;
    const isLength = key === "length" && Array.isArray(shadow);
    return {
      value: this.get(shadow, key),
      enumerable: own.enumerable ?? false,
      configurable: !isLength,
      writable: true,
    };
  }

  getPrototypeOf(): object | null {
    return Reflect.getPrototypeOf(this.#source);
  }

  set(): boolean {
    return refuse();
  }

  deleteProperty(): boolean {
    return refuse();
  }

  defineProperty(): boolean {
    return refuse();
  }

  setPrototypeOf(): boolean {
    return refuse();
  }

  preventExtensions(): boolean {
    return refuse();
  }
}

/**
 * A read-only view of plain data; what is read from it is read-only too. Costs one proxy for each object that is
 * really looked at. A Date, Map, Set, RegExp or buffer is handed over as a copy; an instance of another class, an Error
 * too, and a function as they are.
 */
export function readOnly<T>(value: T): T {
  if (typeof value !== "object" || value === null || behind(value) !== undefined) return value;
  const isArray = Array.isArray(value);
  if (!isArray && !isPlain(value)) return copyPayload(value) as T;
  return new Proxy<object>(isArray ? SHADOW_ARRAY : SHADOW, new ViewTraps(value)) as T;
}
