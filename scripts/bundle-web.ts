import { copyFile, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * Writes `app.js` and onnxruntime-web's .wasm into `folder`, and the .mjs that its threads may run in place of `app.js`;
 * `florence/web` means this repository's source. Returns the sizes in bytes.
 */
export async function bundleWeb(entry: string, folder: string): Promise<{ script: number; wasm: number }> {
  await mkdir(folder, { recursive: true });
  const script = join(folder, "app.js");
  await build({
    entryPoints: [entry],
    outfile: script,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    logLevel: "error",
    nodePaths: [join(root, "node_modules")],
    alias: { "florence/web": join(root, "src/web/web.ts") },
  });
  for (const extension of ["mjs", "wasm"]) {
    const file = `ort-wasm-simd-threaded.${extension}`;
    await copyFile(join(root, "node_modules/onnxruntime-web/dist", file), join(folder, file));
  }
  const wasm = join(folder, "ort-wasm-simd-threaded.wasm");
  return { script: (await stat(script)).size, wasm: (await stat(wasm)).size };
}
