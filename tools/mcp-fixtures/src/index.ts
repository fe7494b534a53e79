export { buildEchoServer, startEchoServer } from "./echo-server.ts";
export type { Era, Fixture, FixtureStats, ListenOptions } from "./fixture.ts";
export { type RawServerOptions, startRawServer } from "./raw-server.ts";
export { type SdkFixture, type SdkServerOptions, type Serving, startSdkServer } from "./sdk-server.ts";
