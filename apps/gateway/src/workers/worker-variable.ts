/** The environment variable by which a process that a primary has started knows which worker it is. */
export const workerVariable = "GATEWRIGHT_WORKER";
