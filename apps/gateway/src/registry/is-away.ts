import { GatewayError } from "../errors.ts";

/** Whether a failure says that the database is away, busy or closed to us, and nothing else. */
export function isAway(error: unknown): boolean {
  return GatewayError.is(error) && error.surface.httpStatus === 503;
}
