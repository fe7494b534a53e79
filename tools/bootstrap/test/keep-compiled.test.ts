import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { projectEnvironment } from "../src/environment.mjs";

it("processes that tests start keep their compiled code, whether coverage is measured or not", async () => {
  const script = "console.log(require('node:module').getCompileCacheDir())";
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", script]);
  // V8 has a folder of its own for each of its versions.
  expect(stdout).toContain(projectEnvironment({})["NODE_COMPILE_CACHE"]);
});
