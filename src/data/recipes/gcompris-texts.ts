/** A photo of GCompris with what its activity says of it. */
export interface ExplainedPicture {
  readonly path: string; // inside the archive
  readonly title: string;
  readonly text: string; // a sentence or several
}

/**
 * The pictures of an "explore" board: objects of QML with a title, a text and `image2`. Objects without all three (the
 * board's own introduction) are passed over.
 */
export function explainedPictures(qml: string): ExplainedPicture[] {
  const objects = qml.split(/\n\s*\{\s*\n/).slice(1);
  return objects.flatMap((body) => {
    const title = translatedText(body, "title");
    const text = translatedText(body, "text");
    const path = /"image2"\s*:\s*"qrc:([^"]+\.webp)"/.exec(body)?.[1];
    return title && text && path ? [{ path, title, text }] : [];
  });
}

/** A field of the form `"title": qsTr("…")`. */
function translatedText(body: string, field: string): string | undefined {
  const found = new RegExp(`"${field}"\\s*:\\s*qsTr\\("((?:[^"\\\\]|\\\\.)*)"\\)`).exec(body)?.[1];
  return found?.replace(/\\n/g, " ").replace(/\\(.)/g, "$1").replace(/\s+/g, " ").trim();
}

/** Names that say too little, or are spelt otherwise than the thing's name. */
const properNames: ReadonlyMap<string, string> = new Map([
  ["blackslate", "slate blackboard"],
  ["buffetset", "buffet set"],
  ["bulb", "light bulb"],
  ["burj", "burj khalifa"],
  ["empire state", "empire state building"],
  ["geothermal", "geothermal power plant"],
  ["kutub minar", "qutub minar"],
  ["le musee", "louvre museum"],
  ["plier", "pliers"],
  ["screw driver", "screwdriver"],
  ["solar", "solar power"],
  ["spray", "spray bottle"],
  ["tweezer", "tweezers"],
  ["weighing machine", "weighing scale"],
  ["zimni palace", "winter palace"],
]);

/** A title as a class: "Taj Mahal, India" and "The Great Wall of China" without country and article, in lower case. */
export function titleAsLabel(title: string): string {
  return title.replace(/,.*$/, "").replace(/^The /, "").toLowerCase();
}

/** What a file's name says: "screwDriver2.webp" reads "screwdriver"; undefined for a name that says nothing. */
export function nameInWords(path: string): string | undefined {
  const stem = path.slice(path.lastIndexOf("/") + 1).replace(/\.\w+$/, "");
  const words = stem
    .replace(/\d+$/, "")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/_/g, " ")
    .trim()
    .toLowerCase();
  if (words.length < 2 || words === "monument") return undefined;
  return properNames.get(words) ?? words;
}

/** The first sentence of a text, without its full stop. */
export function firstSentence(text: string): string {
  return /^.*?[.!?](?=\s+[A-Z“"]|$)/.exec(text)?.[0].replace(/[.]$/, "") ?? text;
}
