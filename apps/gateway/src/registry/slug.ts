/**
 * The name of an upstream in the alphabet of tool names: lower case, every run of other characters one `-`.
 * `taken` is asked until a free one is found; a number is appended to the others.
 */
export function slugOf(name: string, taken: (slug: string) => boolean): string {
  const plain =
    name
      .normalize("NFKD")
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 24) || "upstream";
  if (!taken(plain)) return plain;
  let count = 2;
  while (taken(`${plain}-${count}`)) count++;
  return `${plain}-${count}`;
}
