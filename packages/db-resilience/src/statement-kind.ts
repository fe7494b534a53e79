const reads =
  /^[\s(]*(?:select|show|values|table|explain|begin|start|set|reset|listen|unlisten|fetch|discard|rollback|abort)\b/i;
const plainWith = /^\s*with\b(?![\s\S]*\b(?:insert|update|delete|merge)\b)/i;
const commit = /^\s*(?:commit|end)\b/i;
const boundary =
  /^\s*(?:begin|start\s+transaction|commit|end|abort|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b/i;

/**
 * Whether a statement outside a transaction changes something, so that its end is a COMMIT of its own: when its answer
 * is lost, nobody knows whether it took effect. A SELECT counts as reading, whatever functions it calls.
 */
export function commitsByItself(text: string): boolean {
  return !reads.test(text) && !plainWith.test(text);
}

/** Whether a statement is the COMMIT of a transaction. */
export function isCommit(text: string): boolean {
  return commit.test(text);
}

/** Whether a statement begins or ends a transaction: where it fails, its connection is in doubt. */
export function boundsTransaction(text: string): boolean {
  return boundary.test(text);
}
