/** What has to be looked at character by character: several statements, or a comment. */
const intricate = /;|--|\/\*/;
const dollarQuote = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;

/**
 * The statements of a text, without comments and with the contents of quotes left out; undefined where a quote or a
 * comment does not end. A text of one statement without comments is returned as it is, quotes and all.
 */
export function statementsOf(text: string): readonly string[] | undefined {
  if (!intricate.test(text)) return [text];
  const statements: string[] = [];
  let current = "";
  for (let at = 0; at < text.length; ) {
    const end = endOfOpaque(text, at);
    if (end === undefined) return undefined;
    if (end > at) {
      current += text[at] === "-" || text[at] === "/" ? " " : "''";
      at = end;
      continue;
    }
    if (text[at] === ";") {
      statements.push(current);
      current = "";
    } else current += text[at];
    at++;
  }
  return [...statements, current].filter((statement) => statement.trim() !== "");
}

/** Where the comment or quote ends that begins at `at`; `at` itself when none does, undefined when it has no end. */
function endOfOpaque(text: string, at: number): number | undefined {
  switch (text[at]) {
    case "-":
      return text[at + 1] === "-" ? endOfLine(text, at) : at;
    case "/":
      return text[at + 1] === "*" ? endOfComment(text, at) : at;
    case "'":
      return endOfQuote(text, at, /(?:^|\W)e$/i.test(text.slice(Math.max(0, at - 2), at)));
    case '"':
      return endOfQuote(text, at, false);
    case "$": {
      dollarQuote.lastIndex = at;
      const quote = /\w/.test(text[at - 1] ?? "") ? undefined : dollarQuote.exec(text)?.[0];
      if (quote === undefined) return at;
      const end = text.indexOf(quote, at + quote.length);
      return end < 0 ? undefined : end + quote.length;
    }
    default:
      return at;
  }
}

function endOfLine(text: string, at: number): number {
  const end = text.slice(at).search(/[\r\n]/);
  return end < 0 ? text.length : at + end;
}

/** Comments nest. */
function endOfComment(text: string, at: number): number | undefined {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const two = text.slice(i, i + 2);
    if (two === "/*") depth++;
    else if (two === "*/") depth--;
    else continue;
    i++;
    if (depth === 0) return i + 1;
  }
  return undefined;
}

function endOfQuote(text: string, at: number, escapes: boolean): number | undefined {
  const quote = text[at];
  for (let i = at + 1; i < text.length; i++) {
    if (escapes && text[i] === "\\") i++;
    else if (text[i] === quote) {
      if (text[i + 1] !== quote) return i + 1;
      i++;
    }
  }
  return undefined;
}
