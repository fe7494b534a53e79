import { expect, it } from "vitest";
import { textTable } from "../src/index.ts";

it("tables are padded", () => {
  expect(textTable(["a", "b"], [["long", "1"]])).toBe("| a    | b |\n| ---- | - |\n| long | 1 |");
});
