/**
 * Characters by the part they play in garbled text, as ftfy 6.3 sorts them, in the notation of a pattern's class. Only
 * those count that UTF-8 has when it is read in one of the code pages.
 */
const kinds = {
  /** Stand in true text of any kind. */
  common: "\u00a0\u00ad·´–—―…’",
  control: "\x80-\x9f",
  /** Hardly ever stand in true text. */
  bad: "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº",
  law: "¶§",
  currency: "¢£¥₧€",
  opening: "¡«¿©΄΅‘‚“„•‹\uf8ff",
  closing: "®»˝”›™",
  numeric: "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№",
  /** Letters of faces such as ò_ó. */
  kaomoji: "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°",
  upperAccented: "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ",
  lowerAccented: "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ",
  upperCommon: "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я",
  lowerCommon: "α-ωάέήίΰа-џ",
  box: "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓",
} as const;

type Kind = keyof typeof kinds;

/** A character of any of the kinds, or of those named one by one. */
const any = (...of: readonly (Kind | { readonly also: string })[]): string =>
  `[${of.map((kind) => (typeof kind === "string" ? kinds[kind] : kind.also)).join("")}]`;

const space = "[\\p{White_Space}\\x1c-\\x1f]";
const word = "[\\p{L}\\p{N}_]";
const accented = ["lowerAccented", "upperAccented"] as const;
const signs = ["currency", "numeric", "law"] as const;
const strange = [...accented, "box", "opening", "closing", ...signs] as const;
const secondOfArabic = any("common", "currency", "bad", "numeric", "opening", { also: "ŸŠ®°µ»" });
const secondOfCyrillic = any("control", "bad", "opening", "closing", "currency", { also: "°µ" });
const secondOfGreek = any("control", "bad", "opening", "closing", "currency", { also: "°" });

/** What hardly ever stands side by side in true text. The order does not matter. */
const unlikely = [
  any("control"),
  // Between any two kinds that do not go together.
  any("bad", ...strange) + any("bad"),
  any("bad") + any(...strange),
  `[a-zA-Z]${any("lowerCommon", "upperCommon")}${any("bad")}`,
  any("lowerAccented", "lowerCommon", "box", "closing", "currency", "numeric") + any("upperAccented"),
  any("box", "closing", "currency", "numeric") + any("lowerAccented"),
  any("lowerAccented", "box", "closing") + any("currency"),
  space + any("upperAccented") + any("currency"),
  any("upperAccented", "box") + any("numeric", "law"),
  any(...accented, "box", "currency", "closing") + any("opening") + any("numeric"),
  any(...accented, ...signs, "box") + any("closing") + any("opening"),
  any("currency", "numeric", "box") + any("opening"),
  `[a-z]${any("upperAccented")}${any("opening", "currency")}`,
  any("box") + any("kaomoji", "closing"),
  any(...accented, ...signs, "opening", "closing") + any("box"),
  any(...accented) + any("opening", "closing") + word,
  "[Œœ][^A-Za-z]",
  `${any("upperAccented")}°`,
  // UTF-8 read as windows-1252: two bytes, Arabic, the south of Asia, letters whose second byte became a space.
  `[ÂÃÎÐ]${any("opening", "closing", { also: "€œŠš¢£Ÿž\\xa0\\xad®©°·»–—´" })}`,
  "×[²³]",
  `(?:[ØÙ]${secondOfArabic}){2}`,
  "à[²µ¹¼½¾]",
  "Ã[\\xa0¡]",
  `[a-z]${space}?[ÃÂ] `,
  "^[ÃÂ] ",
  `[a-z.,?!${kinds.closing}]Â[ ${kinds.opening}${kinds.closing}]`,
  // As Mac OS Roman.
  "√[±∂†≠®™´≤≥¥µø]",
  "≈[°¢]",
  "‚Ä[ìîïòôúùû†°¢π]",
  "‚[âó][àä°ê]",
  // As windows-1251, -1253 and -1257.
  "вЂ",
  `[ВГРС]${secondOfCyrillic}[ВГРС]`,
  "ГўВЂВ[^\\n][A-Za-z ]",
  "β€[™\\xa0Ά\\xad®°]",
  `[ΒΓΞΟ]${secondOfGreek}[ΒΓΞΟ]`,
  "ā€",
];

const UNLIKELY = new RegExp(unlikely.join("|"), "u");

/** Whether characters stand side by side that hardly ever do unless the text was decoded wrongly. */
export function isUnlikelyText(text: string): boolean {
  return UNLIKELY.test(text);
}
