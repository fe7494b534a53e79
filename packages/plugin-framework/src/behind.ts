/** Asked of a view, names the object behind it; no plugin can get hold of it. */
export const BEHIND: unique symbol = Symbol("behind");

/** The object that a view shows; undefined for what is no view. */
export function behind(value: object): object | undefined {
  return (value as { readonly [BEHIND]?: object })[BEHIND];
}
