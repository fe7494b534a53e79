import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts", "src/upstream/index.ts", "src/bridge/index.ts"],
  format: "esm",
  dts: true,
  clean: true,
  target: "node22",
  tsconfig: "tsconfig.json",
});
