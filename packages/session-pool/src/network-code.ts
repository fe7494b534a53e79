/** The system's error code (`ECONNREFUSED` …) of a failure or of what caused it; never any of its text. */
export function networkCodeOf(error: unknown): string | undefined {
  for (let at = error, depth = 0; depth < 5 && typeof at === "object" && at !== null; depth++) {
    const { code, cause } = at as { code?: unknown; cause?: unknown };
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{1,40}$/.test(code)) return code;
    at = cause;
  }
  return undefined;
}
