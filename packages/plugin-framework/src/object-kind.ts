/** An object literal, or one without a prototype. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const AS_WHOLE: ReadonlySet<unknown> = new Set([
  Date.prototype,
  RegExp.prototype,
  ArrayBuffer.prototype,
  SharedArrayBuffer.prototype,
]);

/** A Date, RegExp, buffer or view of one: copied, and compared, by content; what of it is of a class of its own is not. */
export function copiedAsWhole(value: object): boolean {
  return ArrayBuffer.isView(value) || AS_WHOLE.has(Object.getPrototypeOf(value));
}
