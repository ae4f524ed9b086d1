import { defineConfig } from "vitest/config";

/** A test that needs a document says so in its first line: `// @vitest-environment jsdom`. */
export default defineConfig({
  test: { include: ["src/**/*.test.ts"], environment: "node", testTimeout: 20_000, restoreMocks: true },
});
