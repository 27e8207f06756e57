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

/** What a file's name says: "screwDriver2.webp" reads "screw driver"; undefined for a name without words. */
export function nameInWords(path: string): string | undefined {
  const stem = path.slice(path.lastIndexOf("/") + 1).replace(/\.\w+$/, "");
  const words = stem
    .replace(/\d+$/, "")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/_/g, " ")
    .trim()
    .toLowerCase();
  return words.length > 1 ? words : undefined;
}

/** The first sentence of a text, without its full stop. */
export function firstSentence(text: string): string {
  return /^.*?[.!?](?=\s+[A-Z“"]|$)/.exec(text)?.[0].replace(/[.]$/, "") ?? text;
}
