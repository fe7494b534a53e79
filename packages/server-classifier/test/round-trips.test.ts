import { seededRandom } from "@gatewright/testkit";
import { expect, it } from "vitest";
import { type ClassifierStore, createClassifier, createMemoryStore } from "../src/index.ts";
import { fakeTime } from "./support/fake-time.ts";
import { servers } from "./support/usage.ts";

const CYCLE_MS = 60_000;

/** A leader, a follower that hears no notices, and one that does, on one store; what each asks of it in its cycles. */
async function setup(random: () => number) {
  const { clock, fake } = fakeTime();
  const shared = createMemoryStore({ now: clock.wall });
  const open = (overrides: Partial<ClassifierStore> = {}) => {
    const trips = { report: 0, collect: 0, publish: 0, read: 0 };
    const counted = <Args extends unknown[], Reply>(
      name: keyof typeof trips,
      ask: (...args: Args) => Reply,
    ) => {
      return (...args: Args) => {
        trips[name]++;
        return ask(...args);
      };
    };
    const store: ClassifierStore = {
      ...shared,
      report: counted("report", shared.report),
      collect: counted("collect", shared.collect),
      publish: counted("publish", shared.publish),
      read: counted("read", shared.read),
      ...overrides,
    };
    const classifier = createClassifier(
      { cycleMs: CYCLE_MS },
      { store, servers: () => servers(5), usage: { usage: () => [] }, clock, random },
    );
    classifier.start();
    return { classifier, trips };
  };
  const leader = open();
  await fake.advance(CYCLE_MS / 2);
  const follower = open({ subscribe: () => () => {} });
  await fake.advance(CYCLE_MS / 4);
  let deaf = false;
  const subscriber = open({
    subscribe: (listener) => shared.subscribe((event) => void (deaf || listener(event))),
  });
  const all = [leader, follower, subscriber];
  return {
    fake,
    ...{ leader, follower, subscriber },
    deafen: () => {
      deaf = true;
    },
    stop: () => Promise.all(all.map(({ classifier }) => classifier.stop())),
  };
}

it("a leader makes three round trips per cycle, a follower two, whether or not it hears of publications", async () => {
  const { fake, leader, follower, subscriber, stop } = await setup(() => 0.5);
  await fake.advance(CYCLE_MS * 20);
  const { cycles } = subscriber.classifier.stats();
  expect(cycles).toBeGreaterThanOrEqual(20);
  expect(subscriber.trips).toEqual({ report: cycles, collect: 0, publish: 0, read: cycles });
  const led = leader.classifier.stats().cycles;
  expect(leader.trips).toEqual({ report: led, collect: led, publish: led, read: 0 });
  const followed = follower.classifier.stats().cycles;
  expect(follower.trips).toEqual({ report: followed, collect: 0, publish: 0, read: followed });
  await stop();
});

it("where cycles drift apart a subscriber still reads hardly more than once per cycle, and has the newest at once", async () => {
  const { fake, leader, subscriber, stop } = await setup(seededRandom(5));
  for (let i = 0; i < 1_000; i++) {
    await fake.advance(CYCLE_MS / 4);
    expect(subscriber.classifier.stats().version).toBe(leader.classifier.stats().version);
  }
  const { cycles } = subscriber.classifier.stats();
  expect(cycles).toBeGreaterThan(200);
  expect(subscriber.trips.read / cycles).toBeLessThan(1.1);
  await stop();
});

it("a subscriber that was stopped reads at once when it starts again", async () => {
  const { fake, leader, subscriber, stop } = await setup(() => 0.5);
  await fake.advance(CYCLE_MS * 3.5);
  const { read } = subscriber.trips;
  await subscriber.classifier.stop();
  await fake.advance(CYCLE_MS * 2);
  expect(subscriber.trips.read).toBe(read);
  subscriber.classifier.start();
  await fake.advance(1);
  expect(subscriber.trips.read).toBe(read + 1);
  expect(subscriber.classifier.stats().version).toBe(leader.classifier.stats().version);
  await stop();
});

it("a subscriber that hears no notices any more reads in its cycles", async () => {
  const { fake, leader, subscriber, deafen, stop } = await setup(() => 0.5);
  await fake.advance(CYCLE_MS * 3);
  deafen();
  await fake.advance(CYCLE_MS * 2);
  const before = leader.classifier.stats().version;
  await fake.advance(CYCLE_MS * 2);
  expect(subscriber.classifier.stats().version).toBeGreaterThan(before);
  expect(subscriber.classifier.stats().lagMs).toBeLessThanOrEqual(CYCLE_MS * 2);
  await stop();
});
