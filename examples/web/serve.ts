// npx tsx examples/web/serve.ts [port] [folder]: bundles the page and serves it with an exported model, that of
// examples/web/model unless another folder is given.
import { createReadStream } from "node:fs";
import { copyFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleWeb } from "../../scripts/bundle-web.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const built = join(here, "dist");
const model = resolve(process.argv[3] ?? join(here, "model"));
const types: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};
// They make the page cross-origin isolated, without which a browser gives WebAssembly no threads.
const isolation = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

await bundleWeb(join(here, "main.ts"), built);
await copyFile(join(here, "index.html"), join(built, "index.html"));

const server = createServer(async (request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://page").pathname));
  const file = path.startsWith("/model/")
    ? join(model, path.slice("/model/".length))
    : join(built, path === "/" ? "index.html" : path);
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) {
    response.writeHead(404).end(`${path}: not found`);
    return;
  }
  response.writeHead(200, { ...isolation, "content-type": types[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
