import { createHash } from "node:crypto";
import type { AlgorithmName } from "../algorithms/algorithm.ts";
import { type BakedRule, bakedCheckText } from "./lua/baked-check.ts";
import { checkText } from "./lua/check.ts";
import { LUA_ALGORITHMS } from "./lua/lua-algorithms.ts";
import { refundText } from "./lua/refund.ts";
import { SWEEP_KEEP, SWEEP_TURN } from "./lua/sweep-turn.ts";
import { SWEEP, WIPE, WIPE_KEYS } from "./lua/wipe.ts";

/** A Lua script and the name Redis knows it by. */
export interface Script {
  readonly text: string;
  readonly sha: string;
}

/** Where a script takes the time from: the clock of Redis, or for tests its last argument. */
export type ClockSource = "redis" | "argument";

const CLOCK: Readonly<Record<ClockSource, string>> = {
  redis:
    "local clock = redis.call('TIME'); local now = clock[1] * 1000 + (clock[2] - clock[2] % 1000) / 1000",
  argument: "local now = tonumber(ARGV[#ARGV])",
};

/** The check of one algorithm: clock line, control records, algorithm, verdicts. */
export function checkScript(algorithm: AlgorithmName, clock: ClockSource = "redis"): Script {
  return script(CLOCK[clock] + checkText(LUA_ALGORITHMS[algorithm]));
}

/** The check of one list of rules, their numbers in the text. */
export function bakedCheckScript(
  algorithm: AlgorithmName,
  rules: readonly BakedRule[],
  hasTenant: boolean,
  clock: ClockSource = "redis",
): Script {
  return script(CLOCK[clock] + bakedCheckText(LUA_ALGORITHMS[algorithm], rules, hasTenant));
}

/** The refund of one algorithm. */
export function refundScript(algorithm: AlgorithmName, clock: ClockSource = "redis"): Script {
  return script(CLOCK[clock] + refundText(LUA_ALGORITHMS[algorithm]));
}

/** Empties single states. */
export function wipeKeysScript(clock: ClockSource = "redis"): Script {
  return script(CLOCK[clock] + WIPE_KEYS);
}

/** Raises a wipe number. */
export const wipeScript: Script = script(WIPE);

/** Removes dead states. */
export const sweepScript: Script = script(SWEEP);

/** Asks for a sweep, or goes on with one. */
export const sweepTurnScript: Script = script(SWEEP_TURN);

/** Keeps or ends the turn to sweep. */
export const sweepKeepScript: Script = script(SWEEP_KEEP);

function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}
