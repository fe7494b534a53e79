import { expect, it } from "vitest";
import { RedisClock } from "../src/redis/redis-clock.ts";

const own = { ms: 1_000, wall: 50_000 };
const clock = () =>
  new RedisClock({
    now: () => own.ms,
    wallNow: () => own.wall,
    setTimer: () => ({ cancel: () => undefined }) as never,
  });

it("goes by the time of Redis once it knows it, and on with the monotonic clock", () => {
  const redis = clock();
  expect(redis.wallNow()).toBe(50_000);
  redis.learn(900_000, own.ms);
  expect(redis.wallNow()).toBe(900_000);
  own.ms += 250;
  expect(redis.wallNow()).toBe(900_250);
});

it("never steps back, though another Redis takes over whose clock is behind", () => {
  const redis = clock();
  redis.learn(900_000, own.ms);
  expect(redis.wallNow()).toBe(900_000);
  redis.learn(709_000, own.ms);
  expect(redis.wallNow()).toBe(900_000);
  own.ms += 191_001;
  expect(redis.wallNow()).toBe(900_001);
});

it("does not go by an answer that was long on its way, once it knows the time", () => {
  const redis = clock();
  redis.learn(900_000, own.ms);
  const sent = own.ms;
  own.ms += 5_000;
  redis.learn(950_000, sent);
  expect(redis.wallNow()).toBe(905_000);
});
