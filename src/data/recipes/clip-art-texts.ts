/** What an Open Clip Art SVG says about itself. */
export interface ClipArtMetadata {
  readonly title: string;
  readonly keywords: readonly string[];
  /** Whether it shows pictures of files that its author did not include. */
  readonly linksElsewhere: boolean;
}

/** Whether a word or phrase is a noun known to a dictionary, singular. */
export type IsNoun = (text: string) => boolean;

/** Keywords and folders that sort files and describe no picture. */
const fillerWords: ReadonlySet<string> = new Set(
  `hash, theme, icons, symbol, sign, shape, shapes, special, unsorted, stock, action, application, menu, work,
  signs and symbols, icon, image, picture, button, buttons, computer, device, simple, magick, mark, class, cc, type, form, flat, clipart, clip art`
    .split(",")
    .map((word) => word.trim().replaceAll(/\s+/g, " ")),
);

/** Titles of whole collections: the file's name says more. */
const collectionTitle =
  /^(clipart by |architetto francesco|part of the |gramastar|lemon svg|etiquette icons|aiga_symbol|card$|various |svg |people$|blueberry|gold-theme|r16 |australian maps|advertising$|map symbols|plastik|sallite|homes clipart|chess pieces|untitled|unnamed|drawing$|new document|pc connectors|hash\(0x)/i;

/** Reads title and keywords from the RDF metadata of an SVG. */
export function parseClipArtMetadata(svg: string): ClipArtMetadata {
  const work = /<cc:Work\b[^>]*>([\s\S]*?)<\/cc:Work>/.exec(svg)?.[1] ?? "";
  const subject = /<dc:subject>([\s\S]*?)<\/dc:subject>/.exec(work)?.[1] ?? "";
  return {
    title: plainText(/<dc:title>([^<]*)<\/dc:title>/.exec(work)?.[1] ?? ""),
    keywords: [...subject.matchAll(/<rdf:li>([^<]*)<\/rdf:li>/g)].map((match) => plainText(match[1])),
    linksElsewhere: /<image\b[^>]*?xlink:href="(?!data:|#)/.test(svg),
  };
}

/**
 * The texts of a piece of clip art: its title (or, for files of a collection, the file's name if that is a noun) is
 * drawn half of the time, else a keyword, seldom the folder. Keywords that are no nouns are dropped, `hash(0x…)` too.
 *
 * @param path  below the collection's folder: "animals/birds/crow_01.png"
 * @returns     undefined when nothing describes the picture
 */
export function clipArtTexts(
  path: string,
  { title, keywords }: ClipArtMetadata,
  isNoun: IsNoun,
): { texts: string[]; weights: number[] } | undefined {
  const parts = path.replace(/\.\w+$/, "").split("/");
  const fileName = nameOfFile(parts[parts.length - 1]);
  const named = isGoodTitle(title) ? title.replaceAll("_", " ") : isNoun(fileName) ? fileName : "";
  const isDescribing = (word: string): boolean => !fillerWords.has(word) && word.length > 1 && isNoun(word);
  const tags = keywords.map(phraseOf).filter(isDescribing);
  const folders = parts.slice(0, -1).map(phraseOf).filter(isDescribing).slice(-1);
  const groups = [
    { texts: named === "" ? [] : [named], share: 0.5 },
    { texts: tags, share: 0.4 },
    { texts: folders, share: 0.1 },
  ];
  if (named === "" && tags.length === 0) return undefined;
  const weights = new Map<string, number>();
  const spelling = new Map<string, string>();
  const total = groups.reduce((sum, group) => sum + (group.texts.length > 0 ? group.share : 0), 0);
  for (const { texts, share } of groups) {
    for (const text of texts) {
      const key = text.toLowerCase();
      spelling.set(key, spelling.get(key) ?? text);
      weights.set(key, (weights.get(key) ?? 0) + share / total / texts.length);
    }
  }
  return {
    texts: [...spelling.values()],
    weights: [...weights.values()].map((weight) => Number(weight.toFixed(4))),
  };
}

function isGoodTitle(title: string): boolean {
  return title.length > 1 && title.length <= 80 && /\p{L}{2}/u.test(title) && !collectionTitle.test(title);
}

/** "piggy_bank_02" → "piggy bank". */
function nameOfFile(name: string): string {
  return phraseOf(name.replaceAll(/[\d.]+/g, " ").replaceAll("-", " "));
}

function phraseOf(text: string): string {
  return text.toLowerCase().replaceAll("_", " ").replaceAll(/\s+/g, " ").trim();
}

function plainText(xml: string): string {
  const named: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return xml
    .replaceAll(/&(#x?[\da-f]+|\w+);/gi, (whole, body: string) => {
      if (!body.startsWith("#")) return named[body] ?? whole;
      const code = body[1].toLowerCase() === "x" ? Number.parseInt(body.slice(2), 16) : Number(body.slice(1));
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    })
    .replaceAll(/\s+/g, " ")
    .trim();
}
