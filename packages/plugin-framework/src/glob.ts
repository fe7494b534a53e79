/**
 * Compiles a glob: `*` stands for any run of characters, `?` for one, `\` takes the next literally; everything
 * else is itself. Without a wildcard the matcher is a plain comparison.
 *
 * @throws RangeError when the pattern is empty, longer than 512 characters or ends in a lone backslash.
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  if (pattern === "" || pattern.length > 512) throw new RangeError("a pattern has 1 to 512 characters");
  if (/(?:^|[^\\])(?:\\\\)*\\$/.test(pattern))
    throw new RangeError("a pattern cannot end in a lone backslash");
  if (pattern === "*") return () => true;
  if (!/[*?\\]/.test(pattern)) return (text) => text === pattern;
  const pieces = pattern.match(/\\.|\*+|\?|[^\\*?]+/gsu) ?? [];
  const tokens = pieces.map((piece) => {
    if (piece.startsWith("*")) return { any: true } as const;
    if (piece === "?") return { one: true } as const;
    return { text: piece.startsWith("\\") ? piece.slice(1) : piece } as const;
  });
  return (text) => matches(tokens, text);
}

type Token = { readonly any?: true; readonly one?: true; readonly text?: string };

/** Greedy match with one point of return: linear in the text for each star, never exponential. */
function matches(tokens: readonly Token[], text: string): boolean {
  let at = 0;
  let token = 0;
  let starToken = -1;
  let starAt = 0;
  while (at < text.length || token < tokens.length) {
    const current = tokens[token];
    if (current?.any) {
      starToken = token++;
      starAt = at;
      continue;
    }
    if (current?.one && at < text.length) {
      token++;
      at++;
      continue;
    }
    if (current?.text !== undefined && text.startsWith(current.text, at)) {
      token++;
      at += current.text.length;
      continue;
    }
    if (starToken < 0 || starAt >= text.length) return false;
    token = starToken + 1;
    at = ++starAt;
  }
  return true;
}
