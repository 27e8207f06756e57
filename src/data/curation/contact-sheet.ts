import sharp from "sharp";
import type { RgbImage } from "../../core/image.ts";
import { writeFileAtomic } from "../../io/atomic-files.ts";

const tile = 96; // pixels a side
const gap = 4;
const pairsAcross = 6;

/** Writes pairs of pictures side by side, in reading order, as one PNG: to judge by eye whether they are the same. */
export async function writeContactSheet(
  path: string,
  pairs: readonly { readonly left: RgbImage; readonly right: RgbImage }[],
): Promise<void> {
  const pairWidth = 2 * tile + 3 * gap;
  const rows = Math.max(1, Math.ceil(pairs.length / pairsAcross));
  const tiles = await Promise.all(
    pairs.flatMap(({ left, right }, i) =>
      [left, right].map(async (image, side) => ({
        input: await enlarged(image),
        left: (i % pairsAcross) * pairWidth + gap + side * (tile + gap),
        top: Math.floor(i / pairsAcross) * (tile + 2 * gap) + gap,
      })),
    ),
  );
  const sheet = sharp({
    create: {
      width: pairsAcross * pairWidth,
      height: rows * (tile + 2 * gap),
      channels: 3,
      background: { r: 96, g: 96, b: 112 },
    },
  });
  await writeFileAtomic(path, await sheet.composite(tiles).png().toBuffer());
}

function enlarged({ width, height, data }: RgbImage): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(tile, tile, { fit: "contain", background: "white", kernel: "nearest" })
    .png()
    .toBuffer();
}
