import { SaxesParser } from "saxes";
import { UserError } from "../../core/errors.ts";

/** One `<object>` of a Pascal VOC annotation; coordinates as written. */
export interface VocObject {
  readonly name: string;
  readonly bounds: readonly [xmin: number, ymin: number, xmax: number, ymax: number]; // NaN where one is missing
  readonly difficult: boolean;
  readonly extra: Readonly<Record<string, string>>; // pose, truncated, occluded, …
}

/** A Pascal VOC annotation file. */
export interface VocAnnotation {
  readonly filename: string; // "" where there is none
  readonly width?: number;
  readonly height?: number;
  readonly objects: readonly VocObject[];
}

const LARGEST = 32 * 2 ** 20; // characters; a picture of ten thousand objects needs a tenth of it
const DEEPEST = 16;

interface XmlElement {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

/**
 * Reads one Pascal VOC annotation. Everingham et al., IJCV 2010. Entities are those of XML itself: a document type that
 * declares others is refused, so that no file can grow when it is read.
 *
 * @param path  the file, for errors
 * @throws      UserError: corrupt (no XML, or no `<annotation>`), too-large
 */
export function parseVocXml(path: string, text: string): VocAnnotation {
  if (text.length > LARGEST) {
    throw new UserError("too-large", `${path}: must have at most ${LARGEST} characters, got ${text.length}.`);
  }
  const root = parseElements(path, text);
  if (root?.name !== "annotation") {
    const got = root ? `<${root.name}>` : "nothing";
    throw new UserError("corrupt", `${path}: must be a Pascal VOC <annotation>, got ${got}. Replace the file.`);
  }
  const size = childOf(root, "size");
  const side = (name: string) => Number(textOf(size, name) || Number.NaN);
  const [width, height] = [side("width"), side("height")];
  const isStated = width > 0 && height > 0; // some tools write 0
  return {
    filename: textOf(root, "filename"),
    ...(isStated ? { width, height } : {}),
    objects: root.children.filter(({ name }) => name === "object").map(readObject),
  };
}

const knownFields = new Set(["name", "bndbox", "difficult"]);

function readObject(object: XmlElement): VocObject {
  const bounds = childOf(object, "bndbox");
  const edge = (name: string) => Number(textOf(bounds, name) || Number.NaN);
  const fields = object.children.filter(({ name, children }) => !knownFields.has(name) && children.length === 0);
  return {
    name: textOf(object, "name"),
    bounds: [edge("xmin"), edge("ymin"), edge("xmax"), edge("ymax")],
    difficult: textOf(object, "difficult") === "1",
    extra: Object.fromEntries(fields.map(({ name, text }) => [name, text.trim()])),
  };
}

function childOf(element: XmlElement, wanted: string): XmlElement | undefined {
  return element.children.find(({ name }) => name === wanted);
}

function textOf(element: XmlElement | undefined, wanted: string): string {
  return (element && childOf(element, wanted)?.text.trim()) || "";
}

function parseElements(path: string, text: string): XmlElement | undefined {
  const parser = new SaxesParser();
  const open: XmlElement[] = [];
  let root: XmlElement | undefined;
  const refuse = (got: string, cause?: unknown) => {
    throw new UserError("corrupt", `${path}: must be plain XML, got ${got}. Replace the file.`, { cause });
  };
  parser.on("error", (error) => refuse(`"${error.message}"`, error));
  parser.on("doctype", (doctype) => {
    if (doctype.includes("<!ENTITY")) refuse("a document type that declares entities");
  });
  parser.on("opentag", ({ name }) => {
    const element: XmlElement = { name, text: "", children: [] };
    if (open.length >= DEEPEST) refuse(`elements more than ${DEEPEST} deep`);
    if (open.length > 0) open[open.length - 1].children.push(element);
    else root = element;
    open.push(element);
  });
  const addText = (piece: string) => {
    if (open.length > 0) open[open.length - 1].text += piece;
  };
  parser.on("text", addText);
  parser.on("cdata", addText);
  parser.on("closetag", () => {
    open.pop();
  });
  parser.write(text).close();
  return root;
}
