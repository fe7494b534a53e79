import { eventually } from "@gatewright/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type SlowAnswer, StreamStarts } from "../src/http/stream-starts.ts";

const waiting = (onOpen: () => void = () => undefined): SlowAnswer => ({
  dueAt: 0,
  previous: undefined,
  next: undefined,
  openStream: onOpen,
});

describe("the beginning of slow answers' streams", () => {
  it("begins those that wait long, the oldest first, and none that was answered", async () => {
    const starts = new StreamStarts(20);
    const opened: number[] = [];
    const answers = Array.from({ length: 6 }, (_, number) => waiting(() => opened.push(number)));
    for (const answer of answers) starts.add(answer);
    for (const number of [0, 3, 5]) starts.delete(answers[number] as SlowAnswer);
    await eventually(() => opened.length === 3);
    expect(opened).toEqual([1, 2, 4]);
  });

  it("looks again for those that came later", async () => {
    const starts = new StreamStarts(20);
    let opened = 0;
    for (let round = 0; round < 3; round++) {
      starts.add(waiting(() => opened++));
      await eventually(() => opened === round + 1);
    }
  });

  it("goes on when one that begins takes another out or adds one", async () => {
    const starts = new StreamStarts(10);
    const opened: string[] = [];
    const second = waiting(() => opened.push("second"));
    const third = waiting(() => opened.push("third"));
    const first = waiting(() => {
      opened.push("first");
      starts.delete(second);
      starts.add(third);
    });
    starts.add(first);
    starts.add(second);
    await eventually(() => opened.length === 2);
    expect(opened).toEqual(["first", "third"]);
  });

  it("keeps nothing of an answer that left, in whatever order they come and go", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(9))), (steps) => {
        const starts = new StreamStarts(60_000);
        const answers = Array.from({ length: 10 }, () => waiting());
        const inside: SlowAnswer[] = [];
        for (const [enters, number] of steps) {
          const answer = answers[number] as SlowAnswer;
          if (enters && !inside.includes(answer)) inside.push(answer);
          if (!enters && inside.includes(answer)) inside.splice(inside.indexOf(answer), 1);
          if (enters) starts.add(answer);
          else starts.delete(answer);
        }
        for (const answer of answers) {
          const at = inside.indexOf(answer);
          expect(answer.previous).toBe(at < 0 ? undefined : inside[at - 1]);
          expect(answer.next).toBe(at < 0 ? undefined : inside[at + 1]);
        }
      }),
    );
  });
});
