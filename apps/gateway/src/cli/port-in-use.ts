import { GatewayError } from "../errors.ts";
import { type CommandIo, exitCodes } from "./command-io.ts";

/** Says why a port cannot be listened on, and gives the exit code for it; any other failure is thrown on. */
export function portInUse(error: unknown, io: CommandIo): number {
  if (!GatewayError.is(error) || error.code !== "conflict") throw error;
  io.err(`gatewright: ${error.message}`);
  return exitCodes.listen;
}
