export {
  type ClientConformanceOptions,
  type ClientConformanceReport,
  runClientConformance,
} from "./client-conformance.ts";
export {
  type ConformanceOptions,
  type ConformanceReport,
  runConformance,
  type ScenarioResult,
} from "./conformance.ts";
export { type ConformanceCase, conformanceCases } from "./conformance-cases.ts";
export {
  type CheckVerdict,
  type ConformanceChecks,
  checkDifferences,
  failedChecks,
} from "./conformance-checks.ts";
export { buildCounterServer, type CounterFixture, startCounterServer } from "./counter-server.ts";
export {
  buildCrashServer,
  type CrashFixture,
  type CrashServerOptions,
  startCrashServer,
} from "./crash-server.ts";
export { buildEchoServer, startEchoServer } from "./echo-server.ts";
export { buildEverythingServer, startEverythingServer } from "./everything/everything-server.ts";
export { createEverythingState, type EverythingState } from "./everything/everything-state.ts";
export { createFaultPlan, FAULTS, type Fault, type FaultPlan } from "./fault-plan.ts";
export type { Era, Fixture, FixtureStats, ListenOptions } from "./fixture.ts";
export { type FixtureCommand, fixtureCommand, fixturePath, type StdioFixture } from "./fixture-path.ts";
export { type FixtureProcess, startFixtureProcess } from "./fixture-process.ts";
export { type FlakyFixture, type FlakyServerOptions, startFlakyServer } from "./flaky-server.ts";
export { isAlive } from "./is-alive.ts";
export { createLedger, type Ledger, type LedgerEntry } from "./ledger.ts";
export { type LegacySdkServerOptions, startLegacySdkServer } from "./legacy-sdk-server.ts";
export { type RawServerOptions, startRawServer } from "./raw-server.ts";
export { type SdkFixture, type SdkServerOptions, type Serving, startSdkServer } from "./sdk-server.ts";
export { buildSlowServer, type SlowCalls, type SlowFixture, startSlowServer } from "./slow-server.ts";
