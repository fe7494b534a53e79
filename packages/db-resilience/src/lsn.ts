/** A position in the write-ahead log as a number: "16/B374D848" → bytes. Malformed text is 0. */
export function lsnValue(lsn: string): bigint {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(lsn);
  if (!match) return 0n;
  return (BigInt(`0x${match[1]}`) << 32n) + BigInt(`0x${match[2]}`);
}

/** A position of one timeline. */
interface WalPosition {
  /** 0 where it is not known. */
  readonly timeline: number;
  readonly value: bigint;
}

/** Reads "16/B374D848@2", position and timeline, or a position alone. Malformed text is a value of 0. */
export function walPosition(text: string): WalPosition {
  const [lsn = "", timeline = "0"] = text.split("@", 2);
  if (!/^\d{1,10}$/.test(timeline)) return { timeline: 0, value: 0n };
  return { timeline: Number(timeline), value: lsnValue(lsn) };
}

/** Whether `a` was written after `b`: each timeline goes on where it left the one before. */
export function isLater(a: WalPosition, b: WalPosition): boolean {
  return a.timeline === b.timeline ? a.value > b.value : a.timeline > b.timeline;
}
