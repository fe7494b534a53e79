import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts", "src/kysely/index.ts", "src/redis/index.ts", "src/testing/index.ts"],
  format: "esm",
  dts: true,
  clean: true,
  target: "node22",
  tsconfig: "tsconfig.json",
});
