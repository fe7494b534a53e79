import { isDeepStrictEqual } from "node:util";
import { copiedAsWhole, isPlain } from "./object-kind.ts";

const DEPTH = 256;

/**
 * Whether one is a copy of the other, as the pipeline makes copies: by content for what it copies, by identity for
 * instances of classes and for functions. What cannot be told, for its depth, is another value.
 */
export function isSameValue(one: unknown, other: unknown): boolean {
  return isSame(one, other, 0);
}

function isSame(one: unknown, other: unknown, depth: number): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (depth > DEPTH) return false;
  if (Array.isArray(one)) return Array.isArray(other) && sameItems(one, other, depth + 1);
  if (isPlain(one)) return isPlain(other) && sameFields(one, other, depth + 1);
  const prototype = Object.getPrototypeOf(one);
  if (prototype !== Object.getPrototypeOf(other)) return false;
  if (prototype === Map.prototype || prototype === Set.prototype) {
    return sameItems([...(one as Set<unknown>)], [...(other as Set<unknown>)], depth + 1);
  }
  return copiedAsWhole(one) && isDeepStrictEqual(one, other);
}

function sameItems(one: readonly unknown[], other: readonly unknown[], depth: number): boolean {
  return one.length === other.length && one.every((item, index) => isSame(item, other[index], depth));
}

function sameFields(one: object, other: object, depth: number): boolean {
  const left = one as Record<PropertyKey, unknown>;
  const right = other as Record<PropertyKey, unknown>;
  const keys = Reflect.ownKeys(left);
  if (keys.length !== Reflect.ownKeys(right).length) return false;
  return keys.every((key) => Object.hasOwn(right, key) && isSame(left[key], right[key], depth));
}
