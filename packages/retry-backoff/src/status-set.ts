/** Expands `500`, `5xx` and `500-504` to the set of statuses they mean. */
export function expandStatuses(list: readonly (number | string)[]): ReadonlySet<number> {
  const statuses = new Set<number>();
  for (const entry of list) {
    const [from, to = from] = String(entry).split("-") as [string, string?];
    const last = Number(to.replace("xx", "99"));
    for (let status = Number(from.replace("xx", "00")); status <= last; status++) statuses.add(status);
  }
  return statuses;
}
