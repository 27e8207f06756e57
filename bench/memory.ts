/**
 * Peak resident memory of one UniCL training step of CoSwin-B at 224 px, batch 16: plain, with activation
 * checkpointing, with a gradient cache, and with both. With --nano: a batch of 4,096 of the nano recipe's image tower
 * through a gradient cache. Each variant runs in a process of its own. Linux only, for VmHWM.
 *
 *   npm run bench:memory -- [--preset B] [--batch 16] [--size 224] [--chunk 4] [--nano]
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { Rng } from "../src/core/rng.ts";
import type { CoSwinConfig } from "../src/models/image-encoder/coswin.ts";
import { coSwinPresets } from "../src/models/image-encoder/coswin-presets.ts";
import { TwoTower } from "../src/models/two-tower.ts";
import { initialWeights, namedParameters } from "../src/nn/module.ts";
import { ContrastiveObjective } from "../src/tasks/pretrain/contrastive-objective.ts";
import { parsePretrainRecipe } from "../src/tasks/pretrain/recipe.ts";

const variantSchema = z.object({
  name: z.string(),
  model: z.enum(["nano", "T", "S", "B", "L", "H"]),
  size: z.int().positive(),
  batch: z.int().positive(),
  chunk: z.int().positive().optional(),
  recompute: z.boolean(),
});
type Variant = z.infer<typeof variantSchema>;

const resultSchema = z.object({ peakMiB: z.number(), seconds: z.number(), loss: z.number() });

const { values } = parseArgs({
  options: {
    preset: { type: "string", default: "B" },
    batch: { type: "string" },
    size: { type: "string" },
    chunk: { type: "string" },
    nano: { type: "boolean", default: false },
    variant: { type: "string" }, // a child's own task, JSON
  },
});

const textWidth = 384;

function imageConfig({ model, size }: Variant): { image: CoSwinConfig; embedding: number } {
  if (model !== "nano") return { image: { ...coSwinPresets[model], imageSize: size, dropPath: 0 }, embedding: 512 };
  const path = fileURLToPath(new URL("../recipes/nano.json", import.meta.url));
  const recipe = parsePretrainRecipe(JSON.parse(readFileSync(path, "utf8")), path);
  return { image: { ...recipe.image, imageSize: size }, embedding: recipe.embedding };
}

/** One step in this process: its peak memory, duration and loss. */
async function measure(variant: Variant): Promise<z.infer<typeof resultSchema>> {
  const { size, batch, chunk, recompute } = variant;
  const { image, embedding } = imageConfig(variant);
  // The text tower is frozen and ran ahead of training: the graph never reads it, so the smallest stands in.
  const text = {
    kind: "sentence-encoder",
    vocabulary: 8,
    contextLength: 2,
    width: textWidth,
    heads: 1,
    layers: 1,
    hidden: 8,
  } as const;
  const model = new TwoTower({ image, text, embedding });
  const all = namedParameters(model);
  const learnt = new Map([...all].filter(([name]) => !name.startsWith("textEncoder.")));
  const start = initialWeights(model, 0);
  const rng = new Rng(0);
  const features = Float32Array.from({ length: batch * textWidth }, () => rng.normal(0, textWidth ** -0.5));
  const data = {
    pixels: new Uint8Array(batch * size * size * 3).map(() => rng.int(256)),
    texts: { "text.features": { data: features, width: textWidth } },
    labels: BigInt64Array.from({ length: batch }, (_, i) => BigInt(i)),
    sets: new BigInt64Array(batch),
  };
  const objective = await ContrastiveObjective.create({
    shape: {
      model,
      parameters: learnt,
      allParameters: all,
      imageSize: size,
      embedding,
      text: { kind: "features", width: textWidth },
      dropPath: false,
      recompute,
    },
    weights: new Map([...learnt].map(([name, { shape }]) => [name, { shape, data: start.get(name) as Float32Array }])),
    batch,
    ...(chunk ? { chunk } : {}),
    seed: 0,
    maxLogitScale: 100,
    batchAt: () => data,
  });
  const started = performance.now();
  const { loss } = await objective.step(0);
  const seconds = (performance.now() - started) / 1000;
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (!kibibytes) throw new Error("bench:memory: /proc/self/status must tell VmHWM. Run it on Linux");
  return { peakMiB: Number(kibibytes) / 1024, seconds, loss };
}

function variants(): Variant[] {
  const number = (text: string | undefined, otherwise: number): number => Number(text ?? otherwise);
  if (values.nano) {
    const chunk = number(values.chunk, 128);
    const [size, batch] = [number(values.size, 32), number(values.batch, 4096)];
    return [{ name: `gradient cache, chunk ${chunk}`, model: "nano", size, batch, chunk, recompute: false }];
  }
  const chunk = number(values.chunk, 4);
  const model = variantSchema.shape.model.parse(values.preset);
  const common = { model, size: number(values.size, 224), batch: number(values.batch, 16) };
  return [
    { ...common, name: "plain", recompute: false },
    { ...common, name: "activation checkpointing", recompute: true },
    { ...common, name: `gradient cache, chunk ${chunk}`, chunk, recompute: false },
    { ...common, name: "both", chunk, recompute: true },
  ];
}

function measureInChild(variant: Variant): z.infer<typeof resultSchema> {
  const words = ["--import", "tsx", fileURLToPath(import.meta.url), "--variant", JSON.stringify(variant)];
  const output = execFileSync(process.execPath, words, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  return resultSchema.parse(JSON.parse(output));
}

if (values.variant) {
  console.log(JSON.stringify(await measure(variantSchema.parse(JSON.parse(values.variant)))));
  process.exit(0);
}
const results: (Variant & Partial<z.infer<typeof resultSchema>>)[] = [];
for (const variant of variants()) {
  const label = `${variant.model} ${variant.size} px, batch ${variant.batch}: ${variant.name}`.padEnd(56);
  try {
    const result = measureInChild(variant);
    results.push({ ...variant, ...result });
    console.log(`${label} ${result.peakMiB.toFixed(0).padStart(7)} MiB ${result.seconds.toFixed(1).padStart(7)} s`);
  } catch (error) {
    // Out of memory shows as a killed child; the other variants still have something to tell.
    results.push(variant);
    console.log(`${label}  failed: ${(error as Error).message.split("\n")[0]?.slice(0, 80)}`);
  }
}
console.log(JSON.stringify(results));
