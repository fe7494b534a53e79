export { identityOf } from "./identity.ts";
export { rateLimiterPlugin } from "./rate-limiter-plugin.ts";
