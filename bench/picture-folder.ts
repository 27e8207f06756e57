import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { walkImageFiles } from "../src/io/file-walk.ts";

const samples = fileURLToPath(new URL("../samples", import.meta.url));

/** Writes `count` JPEGs of 640 × 480, cut and turned from the sample pictures so that no two are alike. Returns their paths. */
export async function writePictures(folder: string, count: number): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const sources: string[] = [];
  for await (const file of walkImageFiles([samples])) if (!("error" in file)) sources.push(file.path);
  const paths: string[] = [];
  for (let i = 0; i < count; i++) {
    const path = join(folder, `${String(i).padStart(5, "0")}.jpg`);
    await sharp(sources[i % sources.length])
      .flatten({ background: "#ffffff" })
      .resize(720 + (i % 7) * 8, 560, { fit: "cover" })
      .extract({ left: (i * 5) % 80, top: (i * 3) % 80, width: 640, height: 480 })
      .modulate({ hue: (i * 37) % 360 })
      .jpeg({ quality: 90 })
      .toFile(path);
    paths.push(path);
  }
  return paths;
}
