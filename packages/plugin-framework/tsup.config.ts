import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts", "src/ipc/index.ts", "src/redis/index.ts", "src/mcp/index.ts"],
  format: "esm",
  dts: true,
  clean: true,
  target: "node22",
  tsconfig: "tsconfig.json",
});
