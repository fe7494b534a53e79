// Runs before every test file. While coverage is measured, vitest turns V8's store of compiled code off for its workers,
// and by their environment for every process that a test starts. Those are not measured, and a gateway that has to be
// compiled anew takes twice the processor's time to start.
import { projectEnvironment } from "./environment.mjs";

delete process.env.NODE_DISABLE_COMPILE_CACHE;
process.env.NODE_COMPILE_CACHE = projectEnvironment().NODE_COMPILE_CACHE;
