import { basename } from "node:path";
import sharp from "sharp";
import { z } from "zod";
import { toErrorRecord } from "../../core/errors.ts";
import { type FetchedPackage, type PackageReference, packageEntries, readPackageFile } from "../../io/packages.ts";
import { emojiNames, fluent, plainHexcode } from "../recipes/emoji.ts";
import { captionedStamps, stamps } from "../recipes/tuxpaint.ts";
import { type Cutout, cutoutFromRgba } from "./cutout.ts";

/** A cut-out as a package has it. */
export interface PackagedCutout {
  readonly key: string; // package and path
  readonly name: string; // what it shows
  readonly cutout: Cutout;
}

/** What cut-outs come from, for the manifest. */
export interface CutoutSource {
  readonly name: string;
  readonly title: string;
  readonly licence: string;
  readonly packages: readonly PackageReference[];
  readonly cutouts: (
    fetched: (reference: PackageReference) => FetchedPackage,
    leaveOut: (reason: string) => void,
  ) => AsyncGenerator<PackagedCutout>;
}

/** Longest side of a cut-out that is kept: more than most are pasted with. Pixels. */
const longestSide = 192;
const leastSide = 24; // a smaller one would be made larger
/** Shares of a frame's pixels that an object may cover: no ghost, and no whole rectangle with a hole. */
const covered = [0.08, 0.97] as const;

/** Emoji of people's bodies, animals, food, travel, activities and things; not faces, symbols and flags. */
const thingGroups: ReadonlySet<number> = new Set([1, 3, 4, 5, 6, 7]);
const emojiSchema = z.array(z.object({ label: z.string(), hexcode: z.string(), group: z.number().optional() }));

/** Photo cut-outs of Tux Paint and three-dimensional emoji. */
export const cutoutSources: readonly CutoutSource[] = [
  {
    name: "tuxpaint",
    title: "Tux Paint stamps, photo cut-outs",
    licence: "GPL-2",
    packages: [stamps],
    async *cutouts(fetched, leaveOut) {
      for await (const { key, caption, bytes } of captionedStamps(fetched(stamps), true, leaveOut)) {
        const cutout = await readCutout(bytes, leaveOut);
        if (cutout) yield { key: `tuxpaint/${key}`, name: shortCaption(caption), cutout };
      }
    },
  },
  {
    name: "emoji",
    title: "Fluent 3D emoji, names of emojibase",
    licence: "package MIT; the artwork keeps its vendor's terms",
    packages: [fluent, emojiNames],
    async *cutouts(fetched, leaveOut) {
      const data = (await readPackageFile(fetched(emojiNames), "en/data.json")).toString("utf8");
      const names = new Map<string, string>();
      for (const { label, hexcode, group } of emojiSchema.parse(JSON.parse(data))) {
        if (group !== undefined && thingGroups.has(group)) names.set(plainHexcode(hexcode), label);
      }
      const isPicture = (path: string): boolean => /^assets\/.+\.webp$/.test(path);
      for await (const { path, bytes } of packageEntries(fetched(fluent), isPicture)) {
        const name = names.get(plainHexcode(basename(path).replace(/\.\w+$/, "")));
        if (name === undefined) {
          leaveOut("face, symbol, flag or skin tone");
          continue;
        }
        const cutout = await readCutout(bytes, leaveOut);
        if (cutout) yield { key: `emoji/${path}`, name, cutout };
      }
    },
  },
];

/** A caption's noun phrase where it begins with an article: "A great blue heron" is of class "great blue heron". */
export function shortCaption(caption: string): string {
  return caption.replace(/^(an?|the)\s+/i, "").trim();
}

/** Decoded, cut to what is opaque, and made small; undefined for what is no cut-out, which is counted. */
export async function readCutout(bytes: Uint8Array, leaveOut: (reason: string) => void): Promise<Cutout | undefined> {
  try {
    const { data, info } = await sharp(bytes, { failOn: "truncated" })
      .toColourspace("srgb")
      .ensureAlpha()
      .resize(longestSide, longestSide, { fit: "inside", withoutEnlargement: true })
      .raw()
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 4) return refuse("not in colour");
    const cut = cropToOpaque(cutoutFromRgba(info.width, info.height, new Uint8Array(data)));
    if (!cut || Math.max(cut.width, cut.height) < leastSide) return refuse("too small");
    const share = cut.opacity.reduce((sum, value) => sum + value, 0) / (255 * cut.opacity.length);
    return share < covered[0] || share > covered[1] ? refuse("no cut-out: opaque or nearly empty") : cut;
  } catch (error) {
    return refuse(`not decodable: ${toErrorRecord(error).code}`);
  }

  function refuse(reason: string): undefined {
    leaveOut(reason);
    return undefined;
  }
}

/** Without the transparent borders; undefined if nothing is opaque. */
function cropToOpaque(cutout: Cutout): Cutout | undefined {
  const { width, height, opacity } = cutout;
  let [x0, y0, x1, y1] = [width, height, -1, -1];
  for (let i = 0; i < opacity.length; i++) {
    if (opacity[i] < 128) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
  }
  if (x1 < 0) return undefined;
  const [cutWidth, cutHeight] = [x1 - x0 + 1, y1 - y0 + 1];
  const cut = { colours: new Uint8Array(cutWidth * cutHeight * 3), opacity: new Uint8Array(cutWidth * cutHeight) };
  for (let y = 0; y < cutHeight; y++) {
    const from = (y + y0) * width + x0;
    cut.colours.set(cutout.colours.subarray(3 * from, 3 * (from + cutWidth)), 3 * y * cutWidth);
    cut.opacity.set(opacity.subarray(from, from + cutWidth), y * cutWidth);
  }
  return { width: cutWidth, height: cutHeight, ...cut };
}
