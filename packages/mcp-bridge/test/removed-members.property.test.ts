import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { removedMembers } from "../src/removed-members.ts";
import { splice } from "../src/splice.ts";

const PREFIX = "io.modelcontextprotocol/";

/** A key that is to go, or one that stays; some are written with an escape. */
const keys = fc.tuple(fc.boolean(), fc.string(), fc.boolean()).map(([goes, text, escaped]) => {
  const key = goes ? PREFIX + text : `a${text}`;
  const raw = JSON.stringify(key);
  const first = `\\u00${key.charCodeAt(0).toString(16)}`;
  return { goes, key, raw: escaped ? `"${first}${raw.slice(2)}` : raw };
});

const spaces = fc.stringMatching(/^[ \n\t]{0,2}$/);

describe("removedMembers", () => {
  it("leaves an object without the members that are to go, and every other byte of it as it was", () => {
    const members = fc.uniqueArray(fc.tuple(keys, fc.jsonValue()), { selector: ([{ key }]) => key });
    fc.assert(
      fc.property(members, spaces, fc.jsonValue(), (list, space, outside) => {
        const written = list.map(
          ([{ raw }, value]) => `${space}${raw}${space}:${JSON.stringify(value)}${space}`,
        );
        const object = `{${written.join(",")}}`;
        const text = `{"_meta":${object},"other":${JSON.stringify(outside)}}`;
        const bytes = Buffer.from(text);
        const start = '{"_meta":'.length;
        const span = { start, end: start + Buffer.byteLength(object) };
        const edits = removedMembers(bytes, span, (cursor) => cursor.keyStartsWith(PREFIX));
        const kept = list.filter(([{ goes }]) => !goes);
        const left = splice(bytes, edits).toString();
        const expected = Object.create(null);
        for (const [{ key }, value] of kept) expected[key] = value;
        const { _meta, other } = JSON.parse(left);
        expect(JSON.stringify(Object.entries(_meta))).toBe(JSON.stringify(Object.entries(expected)));
        expect(JSON.stringify(other)).toBe(JSON.stringify(outside));
        if (kept.length === list.length) expect(left).toBe(text);
        for (const [{ raw }, value] of kept)
          expect(left).toContain(`${raw}${space}:${JSON.stringify(value)}`);
      }),
      { numRuns: 500 },
    );
  });
});
