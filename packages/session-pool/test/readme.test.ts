import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { RETRYABLE } from "../src/errors.ts";
import { resolvePoolOptions } from "../src/pool-options.ts";
import { resolveOwnershipOptions } from "../src/redis/ownership-options.ts";
import { sealKey, signKey } from "./support/replica.ts";

const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");

/** A default as the README writes it: digits in groups, what it is jittered by, `none`. */
const numberOf = (text = "") => {
  return text === "none" ? Number.POSITIVE_INFINITY : Number(text.replace(/ ±.*$/, "").replaceAll(" ", ""));
};

it("every option of the pool is in the README with its default", () => {
  const [, section = ""] = /^## Options$([\s\S]+?)^## /m.exec(readme) ?? [];
  const rows = section.matchAll(/^\| (`[a-zA-Z`, ]+) +\| ([0-9a-z±%, ]+?) +\|/gm);
  const documented = [...rows].flatMap(([, names = "", defaults = ""]) => {
    const values = defaults.split(", ");
    return [...names.matchAll(/`(\w+)`/g)].map(([, name = ""], index) => [name, numberOf(values[index])]);
  });
  expect(Object.fromEntries(documented)).toEqual(resolvePoolOptions({}));
});

it("every option of ownership is in the README with its default", () => {
  const needed = { advertiseUrl: "http://a", sealKeys: [sealKey], signKeys: [signKey] };
  const [, text = ""] = /^`createRedisOwnership`: ([\s\S]+?)\.\n/m.exec(readme) ?? [];
  const documented = [...text.matchAll(/`(\w+)`\s(`\w+`|[\d\s]+\d)/g)].map(([, name = "", value = ""]) => {
    return [name, value.startsWith("`") ? value.slice(1, -1) : numberOf(value.replaceAll("\n", " "))];
  });
  expect({ ...needed, ...Object.fromEntries(documented) }).toEqual(resolveOwnershipOptions(needed));
});

it("every error code is in the README, with whether it is retryable", () => {
  const rows = readme.matchAll(/^\| `([a-z_]+)` +\| (yes|no) +\|/gm);
  const documented = Object.fromEntries([...rows].map(([, code, retryable]) => [code, retryable === "yes"]));
  expect(documented).toEqual(RETRYABLE);
});
