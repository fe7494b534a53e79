import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { localPrincipal } from "../src/auth/principal.ts";
import { everything } from "../src/calls/target.ts";
import { DownstreamSessions } from "../src/downstream/downstream-sessions.ts";
import { EventLog } from "../src/downstream/event-log.ts";
import { EventStream } from "../src/downstream/event-stream.ts";

function sink() {
  const written: string[] = [];
  let close: (() => void) | undefined;
  const state = { ended: false, destroyed: false };
  const response = {
    write: (chunk: Buffer) => written.push(chunk.toString()),
    end: (chunk?: Buffer) => {
      if (chunk !== undefined) written.push(chunk.toString());
      state.ended = true;
    },
    once: (_: string, listener: () => void) => {
      close = listener;
    },
    writableLength: 0,
    destroy: () => {
      state.destroyed = true;
    },
  };
  return { written, state, close: () => close?.(), response: response as unknown as ServerResponse };
}

describe("the event log", () => {
  it("keeps the last events by count, by bytes, by the bytes of all sessions, and by age", () => {
    let now = 0;
    const total = { bytes: 0, maxBytes: 25 };
    const limits = { maxEvents: 3, maxBytes: 20 };
    const log = new EventLog(limits, total, () => now);
    const other = new EventLog(limits, total, () => now);
    for (let sequence = 1; sequence <= 5; sequence++) log.append(1, sequence, "xx");
    expect(log.after(1, 0).map((event) => event.sequence)).toEqual([3, 4, 5]);
    expect(log.after(2, 0)).toEqual([]);
    log.append(1, 6, "x".repeat(17));
    expect(log.after(1, 0).map((event) => event.sequence)).toEqual([5, 6]);
    expect(total.bytes).toBe(19);
    other.append(1, 1, "x".repeat(7));
    expect(other.after(1, 0)).toEqual([]);
    now = 100;
    log.append(2, 1, "y");
    log.expire(50);
    expect(log.after(1, 0)).toEqual([]);
    expect(log.after(2, 0)).toHaveLength(1);
    log.close();
    log.append(2, 2, "z");
    expect(log.after(2, 0)).toEqual([]);
    expect(total.bytes).toBe(0);
  });
});

describe("an event stream", () => {
  const make = (maxBufferedBytes = 1_000) => {
    const log = new EventLog({ maxEvents: 2, maxBytes: 1_000 }, { bytes: 0, maxBytes: 1_000 }, () => 0);
    return new EventStream({ number: 3, log, maxBufferedBytes, lostAnswer: () => "lost" });
  };

  it("goes on over another connection behind the last event that was seen", () => {
    const stream = make();
    const first = sink();
    stream.open(first.response, true);
    expect(first.written[0]).toContain("id: 3-0\n");
    stream.send("a");
    first.close();
    expect(stream.attached).toBe(false);
    stream.send("b");
    const second = sink();
    stream.resume(second.response, 1);
    expect(second.written.join("")).toContain("id: 3-2\ndata: b");
    expect(second.written.join("")).not.toContain("data: a");
    stream.end("c");
    stream.end("never");
    expect(second.written.at(-1)).toContain("id: 3-3\ndata: c");
    expect(second.state.ended).toBe(true);
  });

  it("a second connection replaces the first, and one that reads too slowly is cut", () => {
    const stream = make(-1);
    const [first, second] = [sink(), sink()];
    stream.open(first.response, false);
    expect(first.written[0]).not.toContain("data");
    stream.resume(second.response, 0);
    expect(first.state.ended).toBe(true);
    first.close();
    expect(stream.attached).toBe(true);
    stream.send("late");
    expect(second.state.destroyed).toBe(true);
    stream.detach();
    expect(second.written.at(-1)).toContain("retry:");
  });

  it("says so when the answer is no longer kept", () => {
    const stream = make();
    stream.end("a".repeat(2_000));
    const late = sink();
    stream.resume(late.response, 0);
    expect(late.written.join("")).toContain("data: lost");
    expect(late.state.ended).toBe(true);
  });
});

describe("the streams of a session", () => {
  it("its own stream resumes too; ended answers are forgotten first, and all end with the session", () => {
    const sessions = new DownstreamSessions({
      maxSessions: 1,
      idleMs: 1_000,
      maxBufferedBytes: 1_000,
      log: { maxEvents: 2, maxBytes: 1_000 },
      onEnd: () => undefined,
    });
    const hello = {
      protocolVersion: "2025-11-25",
      clientInfo: { name: "t", version: "1" },
      capabilities: {},
    };
    const session = sessions.open(localPrincipal, everything, hello);
    const own = sink();
    session.attach(own.response);
    session.deliver(Buffer.from("one"));
    session.deliver(Buffer.from("two"));
    own.close();
    expect(session.streaming).toBe(false);
    const back = sink();
    session.resumption("0-1")?.(back.response);
    expect(back.written.join("")).toContain("two");
    expect(back.written.join("")).not.toContain("one");
    const ended = session.openAnswer(sink().response, "1");
    ended.end("done");
    const running = sink();
    session.openAnswer(running.response, "2");
    session.openAnswer(sink().response, "3");
    expect(session.resumption("1-0")).toBeUndefined();
    expect(session.resumption("2-0")).toBeDefined();
    expect(session.streaming).toBe(true);
    sessions.close();
    expect(running.state.ended).toBe(true);
    expect(session.resumption("2-0")).toBeUndefined();
  });

  it("hold nothing any more of a session that another replica goes on with, and answer the calls in flight", async () => {
    const sessions = new DownstreamSessions({
      maxSessions: 10,
      idleMs: 1_000,
      maxBufferedBytes: 1_000,
      log: { maxEvents: 10, maxBytes: 100 },
      maxLogBytes: 100,
      onEnd: () => undefined,
    });
    const hello = {
      protocolVersion: "2025-11-25",
      clientInfo: { name: "t", version: "1" },
      capabilities: {},
    };
    const gone = sessions.open(localPrincipal, everything, hello);
    const call = new AbortController();
    gone.calls.set("1", call);
    const running = sink();
    const answer = gone.openAnswer(running.response, "1");
    gone.deliver(Buffer.from("x".repeat(90)));
    let ended = 0;
    gone.onEnd.add(() => ended++);
    const question = gone.questions.ask("ping", undefined);
    sessions.letGo(gone.id);
    expect(ended).toBe(1);
    expect(call.signal.aborted).toBe(false);
    answer.end("the answer");
    gone.deliver(Buffer.from("y".repeat(90)));
    expect(running.written.at(-1)).toContain("the answer");
    expect(running.state.ended).toBe(true);
    const stays = sessions.open(localPrincipal, everything, hello);
    stays.deliver(Buffer.from("z".repeat(90)));
    const own = sink();
    stays.attach(own.response);
    expect(own.written.join("")).toContain("zzz");
    sessions.close();
    await expect(question?.answer).rejects.toMatchObject({ code: "outcome_unknown" });
  });
});
