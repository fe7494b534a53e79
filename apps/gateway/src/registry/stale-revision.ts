/** Somebody else changed a row between reading and writing it: the whole change is to be made anew. */
export class StaleRevision extends Error {
  override readonly name = "StaleRevision";

  constructor() {
    super("the row was changed meanwhile");
  }
}
