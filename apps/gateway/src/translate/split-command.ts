/**
 * The words of a command line, quoted as in a shell: `'…'` as it is, `"…"` and outside of quotes with `\` before a
 * character that means itself. Nothing is expanded. Undefined when a quote is left open.
 */
export function splitCommand(text: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (char === "\\" && quote !== "'") {
      const next = text[++at];
      if (next === undefined) return undefined;
      // Within double quotes a backslash is one, unless it stands before what it takes the meaning from.
      word = (word ?? "") + (quote === undefined || /["\\$`]/.test(next) ? next : `\\${next}`);
    } else if (char === quote) {
      quote = undefined;
    } else if (quote === undefined && (char === '"' || char === "'")) {
      quote = char;
      word ??= "";
    } else if (quote === undefined && /\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + char;
  }
  if (quote !== undefined) return undefined;
  if (word !== undefined) words.push(word);
  return words;
}
