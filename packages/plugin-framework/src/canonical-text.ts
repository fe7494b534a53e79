const identities = new WeakMap<object, number>();
let lastIdentity = 0;

function identity(value: object): string {
  let number = identities.get(value);
  if (number === undefined) {
    number = ++lastIdentity;
    identities.set(value, number);
  }
  return `#${number}`;
}

/**
 * A text that is equal for equal configs, whatever the order of their keys. Functions and instances of classes
 * count as themselves.
 */
export function canonicalText(value: unknown): string {
  if (typeof value === "function") return identity(value);
  if (typeof value !== "object" || value === null) return `${typeof value}:${String(value)}`;
  if (Array.isArray(value)) return `[${value.map(canonicalText).join()}]`;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return identity(value);
  const fields = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalText((value as Record<string, unknown>)[key])}`);
  return `{${fields.join()}}`;
}
