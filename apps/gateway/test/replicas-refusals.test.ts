import { SessionPoolError } from "@gatewright/session-pool";
import { describe, expect, it } from "vitest";
import {
  brokenStream,
  foreignSession,
  noSuchSession,
  ownerUnreachable,
  refusalOf,
  unknownOutcome,
} from "../src/replicas/refusals.ts";
import type { EdgeRequest } from "../src/replicas/replicas.ts";

describe("what a client is told when its session lives elsewhere", () => {
  it("is a code of the gateway with a time to come back where that helps", () => {
    const full = refusalOf(new SessionPoolError("pool_capacity", "full"));
    expect(full).toMatchObject({ code: "overloaded", facts: { retryAfterMs: 1_000 } });
    const away = refusalOf(new SessionPoolError("backend_unavailable", "away"));
    expect(away).toMatchObject({ code: "backend_unavailable", facts: { retryAfterMs: 1_000 } });
    const other = new SessionPoolError("pool_closed", "closed");
    expect(refusalOf(other)).toBe(other);
    const strange = new Error("not ours");
    expect(refusalOf(strange)).toBe(strange);
    expect(ownerUnreachable(0).facts.retryAfterMs).toBe(1_000);
    expect(ownerUnreachable(7_000).facts.retryAfterMs).toBe(7_000);
    expect([noSuchSession().code, foreignSession().code]).toEqual(["not_found", "forbidden"]);
    expect(unknownOutcome().code).toBe("outcome_unknown");
  });

  it("ends a call's broken stream with an error that bears its id, and a stream of no call with nothing", () => {
    const edge = (idText: string | undefined) => ({ idText, requestId: "r-1" }) as unknown as EdgeRequest;
    expect(brokenStream(edge(undefined))).toBeUndefined();
    const text = brokenStream(edge('"seven"')) ?? "";
    expect(text.startsWith("\n\nevent: message\n")).toBe(true);
    const data = text.split("data: ")[1] ?? "";
    expect(JSON.parse(data)).toMatchObject({ id: "seven", error: { data: { code: "outcome_unknown" } } });
  });
});
