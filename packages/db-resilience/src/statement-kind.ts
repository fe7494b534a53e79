import { statementsOf } from "./statement-text.ts";

const reads =
  /^[\s(]*(?:select|show|values|table|begin|start|set|reset|listen|unlisten|fetch|discard|rollback|abort)\b/i;
const copiesOut = /^\s*copy\s*(?:\(.*\)|(?:"[^"]*"|[\w.$])+(?:\s*\([^()]*\))?)\s*to\s+stdout\b/is;
const tellsPlan = /^\s*explain\b/i;
const analyzes = /\banaly[sz]e\b/i;
const hasCommonTable = /^[\s(]*with\b/i;
const makesTable = /\binto\b/i;
const changes = /\b(?:insert|update|delete|merge|into|create|refresh|execute|call)\b/i;
const commit = /^\s*(?:commit|end|prepare\s+transaction)\b/i;
const boundary =
  /^\s*(?:begin|start\s+transaction|commit|end|abort|prepare\s+transaction|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b/i;
const others = /^\s*(?:call|do|execute|deallocate|(?:explain|create)\b.*\bexecute)\b/is;
const beginsReading = /^\s*(?:begin|start\s+transaction|set\s+transaction)\b.*\bread\s+only\b/is;

/**
 * Whether a statement outside a transaction may change something, so that its end is a COMMIT of its own: when its
 * answer is lost, nobody knows whether it took effect. What cannot be told for sure counts as changing: several statements
 * in one text, and words that only look like a change. A SELECT counts as reading, whatever functions it calls.
 */
export function commitsByItself(text: string): boolean {
  const statements = statementsOf(text);
  return statements?.length !== 1 || statements.some(mayChange);
}

/** Whether a text holds the COMMIT of a transaction. */
export function isCommit(text: string): boolean {
  return statementsOf(text)?.some((statement) => commit.test(statement)) ?? false;
}

/** Whether a text begins or ends a transaction: where it fails, its connection is in doubt. */
export function boundsTransaction(text: string): boolean {
  return statementsOf(text)?.some((statement) => boundary.test(statement)) ?? false;
}

/** Whether a text has the server carry out what is not in it, and what it comes upon may be that statement's. */
export function carriesOutOthers(text: string): boolean {
  return statementsOf(text)?.some((statement) => others.test(statement)) ?? true;
}

/** Whether a text begins a transaction that takes no changes. */
export function beginsReadOnly(text: string): boolean {
  return statementsOf(text)?.some((statement) => beginsReading.test(statement)) ?? false;
}

function mayChange(statement: string): boolean {
  if (tellsPlan.test(statement)) return analyzes.test(statement) && changes.test(statement);
  if (hasCommonTable.test(statement) || copiesOut.test(statement)) return changes.test(statement);
  return !reads.test(statement) || makesTable.test(statement);
}
