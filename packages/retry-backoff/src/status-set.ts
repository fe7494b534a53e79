/** Expands `500`, `5xx` and `500-504` to the set of statuses they mean. */
export function expandStatuses(list: readonly (number | string)[]): ReadonlySet<number> {
  const statuses = new Set<number>();
  for (const entry of list) {
    const text = String(entry);
    const [from, to] = text.endsWith("xx")
      ? [Number(text[0]) * 100, Number(text[0]) * 100 + 99]
      : (text.split("-").map(Number) as [number, number?]);
    for (let status = from; status <= (to ?? from); status++) statuses.add(status);
  }
  return statuses;
}
