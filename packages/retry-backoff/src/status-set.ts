/** Expands `500`, `5xx` and `500-504`, whichever end comes first, to the set of statuses they mean. */
export function expandStatuses(list: readonly (number | string)[]): ReadonlySet<number> {
  const statuses = new Set<number>();
  for (const entry of list) {
    const ends = String(entry).replace(/(.)xx/, "$100-$199").split("-").map(Number);
    for (let status = Math.min(...ends); status <= Math.max(...ends); status++) statuses.add(status);
  }
  return statuses;
}
