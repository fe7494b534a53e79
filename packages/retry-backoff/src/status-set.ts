/** Expands `500`, `5xx` and `500-504` to the set of statuses they mean. */
export function expandStatuses(list: readonly (number | string)[]): ReadonlySet<number> {
  const statuses = new Set<number>();
  for (const entry of list) {
    const [first, last = first] = String(entry).replace(/(.)xx/, "$100-$199").split("-").map(Number);
    for (let status = first as number; status <= (last as number); status++) statuses.add(status);
  }
  return statuses;
}
