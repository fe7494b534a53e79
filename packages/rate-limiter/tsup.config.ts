import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts", "src/redis/index.ts", "src/plugin/index.ts", "src/http/index.ts"],
  format: "esm",
  dts: true,
  clean: true,
  target: "node22",
  tsconfig: "tsconfig.json",
});
