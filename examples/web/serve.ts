// npx tsx examples/web/serve.ts [port]: bundles the page and serves it with the model of examples/web/model.
import { createReadStream } from "node:fs";
import { copyFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleWeb } from "../../scripts/bundle-web.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const built = join(here, "dist");
const types: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

await bundleWeb(join(here, "main.ts"), built);
await copyFile(join(here, "index.html"), join(built, "index.html"));

const server = createServer(async (request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://page").pathname));
  const file = path.startsWith("/model/") ? join(here, path) : join(built, path === "/" ? "index.html" : path);
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) {
    response.writeHead(404).end(`${path}: not found`);
    return;
  }
  response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
const port = Number(process.argv[2] ?? 8080);
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/`));
