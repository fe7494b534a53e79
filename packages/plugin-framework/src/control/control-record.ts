import { isMode, type Mode } from "../mode.ts";

/** Whose mode a record holds: a plugin's everywhere, or one tenant's. */
export interface ControlScope {
  readonly plugin: string;
  readonly tenant?: string;
}

/**
 * The admin override of one scope. Records are never deleted: `inherit` stands for "no override", so that `rev`
 * only ever rises.
 */
export interface ControlRecord {
  readonly mode: Mode | "inherit";
  readonly rev: number;
  /** Told apart from another record of the same `rev`, written after a failover. */
  readonly uuid: string;
  /** State written under another value reads as empty. */
  readonly wipeSeq: number;
  /** Whole Unix milliseconds; left out: for ever. */
  readonly expiresAt?: number;
  readonly setBy: string;
}

/** Appended to the uuid of a record that expired. */
export const EXPIRED_SUFFIX = "~x";

/** `rate_limiter` or `rate_limiter:t:acme`; names are percent-escaped so that two scopes never share a text. */
export function scopeText({ plugin, tenant }: ControlScope): string {
  const name = encodeURIComponent(plugin);
  return tenant === undefined ? name : `${name}:t:${encodeURIComponent(tenant)}`;
}

/** The reverse of {@link scopeText}; undefined for anything else. */
export function parseScope(text: string): ControlScope | undefined {
  const [name, marker, tenant, ...rest] = text.split(":");
  if (name === undefined || name === "" || rest.length > 0 || !text.isWellFormed()) return undefined;
  try {
    if (marker === undefined) return { plugin: decodeURIComponent(name) };
    if (marker !== "t" || tenant === undefined) return undefined;
    return { plugin: decodeURIComponent(name), tenant: decodeURIComponent(tenant) };
  } catch {
    return undefined;
  }
}

/** `1|rev|uuid|mode|wipeSeq|expiresAt|setBy`; `expiresAt` is 0 when there is none, `setBy` percent-escaped. */
export function packRecord(record: ControlRecord): string {
  const { rev, uuid, mode, wipeSeq, expiresAt, setBy } = record;
  return `1|${rev}|${uuid}|${mode}|${wipeSeq}|${expiresAt ?? 0}|${encodeURIComponent(setBy)}`;
}

/** The reverse of {@link packRecord}; undefined for anything that is not a record of this version. */
export function unpackRecord(packed: string): ControlRecord | undefined {
  const parts = packed.split("|");
  const [version, revText, uuid, modeText, wipeText, expiryText, by] = parts;
  if (version !== "1" || parts.length !== 7 || !uuid) return undefined;
  const mode = modeOf(modeText);
  if (mode === undefined) return undefined;
  const rev = Number(revText);
  const wipeSeq = Number(wipeText);
  const expiresAt = Number(expiryText);
  if (![rev, wipeSeq, expiresAt].every((value) => Number.isSafeInteger(value) && value >= 0))
    return undefined;
  const record: ControlRecord = { mode, rev, uuid, wipeSeq, setBy: unescapeText(by ?? "") };
  return expiresAt === 0 ? record : { ...record, expiresAt };
}

function modeOf(text: string | undefined): ControlRecord["mode"] | undefined {
  return text === "inherit" || isMode(text) ? text : undefined;
}

function unescapeText(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** When what lasts `ttlMs` from now on ends: in whole milliseconds, as a packed record has them, and no sooner. */
export function endOf(now: number, ttlMs: number): number {
  return Math.ceil(now + ttlMs);
}

/** Has the record's time run out? `now` in Unix milliseconds. */
export function isExpired(record: ControlRecord, now: number): boolean {
  return record.expiresAt !== undefined && record.expiresAt <= now;
}

/** Can nothing but a new switch change what this record says? Then nobody need look at it again and again. */
export function isSettled(record: ControlRecord): boolean {
  return record.mode === "inherit" && record.expiresAt === undefined;
}

/** What follows an expired record: a pure function of it, so that all copies agree without talking. */
export function successorOf(record: ControlRecord): ControlRecord {
  return {
    mode: "inherit",
    rev: record.rev + 1,
    uuid: `${record.uuid}${EXPIRED_SUFFIX}`,
    wipeSeq: record.wipeSeq,
    setBy: record.setBy,
  };
}

/** The mode that a record puts in force, given what it inherits. */
export function modeUnder(record: ControlRecord | undefined, inherited: Mode): Mode {
  return record === undefined || record.mode === "inherit" ? inherited : record.mode;
}
