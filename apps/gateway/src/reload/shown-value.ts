/** Stands for a text that is not shown. */
const hidden = "•••";
/** Longest text that a value is shown as. */
const maxShown = 300;

/** Where every text may be a secret. */
const secretPlaces = [
  /^mcpServers\.[^.]+\.(env|headers|args)(\.|$)/,
  /^mcpServers\.[^.]+\.auth\.(?!type$)/,
  /^plugins\.(?!(rate_limiter|retry)\.)[^.]+\.(config|mcp)(\.|$)/,
];
/** Keys whose texts are secrets wherever they stand. */
const secretKeys = /(password|secret|token|credential|authorization|cookie|sha256|privatekey|api_?key)$/i;

/**
 * A value of the configuration as an operator or a log may see it: texts that may be secrets are hidden, and URLs are
 * without names, passwords and queries.
 *
 * @param path dotted, as in messages about the configuration
 */
export function shownValue(path: string, value: unknown): unknown {
  if (typeof value === "string") return shownText(path, value);
  if (Array.isArray(value)) return value.map((item) => shownValue(path, item));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, shownValue(`${path}.${key}`, inner)]),
  );
}

/** The same as text for one line. */
export function shownLine(path: string, value: unknown): string {
  if (value === undefined) return "(not set)";
  const text = JSON.stringify(shownValue(path, value));
  return text.length <= maxShown ? text : `${text.slice(0, maxShown - 1)}…`;
}

function shownText(path: string, text: string): string {
  if (secretPlaces.some((place) => place.test(path))) return hidden;
  if (secretKeys.test(path.slice(path.lastIndexOf(".") + 1))) return hidden;
  // Not by a parser: a database's URL may name several hosts.
  return /^[a-z]+:\/\//i.test(text)
    ? text.replace(/^([a-z]+:\/\/)[^@/?#]*@/i, `$1${hidden}@`).replace(/[?#].*$/s, `?${hidden}`)
    : text;
}
