#!/usr/bin/env node
import { existsSync } from "node:fs";

// The compiled program lives in dist/, which a fresh checkout lacks until `npm run build`.
const entry = new URL("../dist/cli/main.js", import.meta.url);
if (!existsSync(entry)) {
  console.error("florence: not built yet, dist/ is missing. Run `npm run build` (or `npm start`) first.");
  process.exit(1);
}
await import(entry.href);
