/** What a failed `fetch` failed of: its own message says no more than that it failed. */
export function failedOf(error: unknown): string {
  const { cause } = error as { readonly cause?: unknown };
  // A name with several addresses: one failure for each.
  const [first = cause] = cause instanceof AggregateError ? (cause.errors as unknown[]) : [];
  const told = first ?? error;
  return told instanceof Error && told.message !== "" ? told.message : String(told);
}
