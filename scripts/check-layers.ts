import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { findBreaches, folderOf, type ImportEdge, layers } from "./layers.ts";

/** Checks every import of src/ against scripts/layers.ts, and draws what it found into docs/architecture.md. */

const root = fileURLToPath(new URL("../", import.meta.url));
const documentPath = join(root, "docs/architecture.md");
const marks = { begin: "<!-- layers: begin -->", end: "<!-- layers: end -->" };

const files = sourceFiles(join(root, "src"));
const edges = files.flatMap(importsOf);
writeDocument(diagramAndTable());

const breaches = findBreaches(edges);
for (const breach of breaches) console.error(breach);
console.log(`layers: ${files.length} files, ${edges.length} imports, ${breaches.length} breaches`);
process.exitCode = breaches.length === 0 ? 0 : 1;

/** Paths under src/, tests left out. */
function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.endsWith(".ts") && !/\.(test|conformance)\.ts$/.test(path))
    .sort();
}

function importsOf(file: string): ImportEdge[] {
  const text = readFileSync(join(root, "src", file), "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true);
  const found: ImportEdge[] = [];
  const add = (specifier: ts.Node | undefined, isTypeOnly: boolean) => {
    if (!specifier || !ts.isStringLiteralLike(specifier)) return;
    const isInternal = specifier.text.startsWith(".");
    const to = isInternal ? normalize(join(dirname(file), specifier.text)).replaceAll("\\", "/") : specifier.text;
    if (!to.startsWith("..")) found.push({ from: file, to, isInternal, isTypeOnly }); // "../package.json" is no module
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function diagramAndTable(): string {
  const used = new Set(files.map(folderOf).filter((folder) => folder in layers));
  return `${mermaidDiagram(used)}\n\n${table(used)}`;
}

/** Folders by rank, lowest at the bottom; an arrow is left out where a longer way shows the dependency already. */
function mermaidDiagram(used: ReadonlySet<string>): string {
  const targets = new Map<string, Set<string>>();
  for (const { from, to, isInternal } of edges) {
    const [source, target] = [folderOf(from), folderOf(to)];
    if (!isInternal || source === target || !used.has(source) || !used.has(target)) continue;
    targets.set(source, (targets.get(source) ?? new Set()).add(target));
  }
  const reaches = (from: string, to: string): boolean =>
    [...(targets.get(from) ?? [])].some((next) => next === to || reachesBelow(next, to));
  const reachesBelow = (from: string, to: string): boolean => layers[from].rank > layers[to].rank && reaches(from, to);
  const node = (folder: string) => `layer-${folder}`; // a bare "graph" is a word of mermaid's own
  const lines = ["```mermaid", "flowchart TD"];
  for (const rank of [...new Set([...used].map((folder) => layers[folder].rank))].sort((a, b) => b - a)) {
    const inRank = [...used].filter((folder) => layers[folder].rank === rank).sort();
    lines.push(`  subgraph rank${rank}["rank ${rank}"]`);
    for (const folder of inRank)
      lines.push(layers[folder].isPure ? `    ${node(folder)}([${folder}])` : `    ${node(folder)}[${folder}]`);
    lines.push("  end");
  }
  for (const source of [...targets.keys()].sort()) {
    const direct = [...(targets.get(source) ?? [])];
    const needed = direct.filter((target) => !direct.some((other) => other !== target && reachesBelow(other, target)));
    for (const target of needed.sort()) lines.push(`  ${node(source)} --> ${node(target)}`);
  }
  return [
    ...lines,
    "```",
    "",
    "Rounded: pure, runs in a browser as it is. Dependencies that follow from others are left out.",
  ].join("\n");
}

function table(used: ReadonlySet<string>): string {
  const rows = Object.entries(layers)
    .filter(([folder]) => used.has(folder))
    .map(([folder, { rank, isPure, holds }]) => {
      const count = files.filter((file) => folderOf(file) === folder).length;
      return `| ${rank} | \`${folder}/\` | ${isPure ? "pure" : "impure"} | ${count} | ${holds} |`;
    });
  return ["| rank | folder | | files | holds |", "|---|---|---|---|---|", ...rows].join("\n");
}

/** Replaces what stands between the marks, and leaves the file alone when nothing changed. */
function writeDocument(generated: string): void {
  const text = readFileSync(documentPath, "utf8");
  const [begin, end] = [text.indexOf(marks.begin), text.indexOf(marks.end)];
  if (begin < 0 || end < begin) throw new Error(`${documentPath}: must hold the marks ${marks.begin} … ${marks.end}`);
  const updated = `${text.slice(0, begin + marks.begin.length)}\n${generated}\n${text.slice(end)}`;
  if (updated !== text) writeFileSync(documentPath, updated);
}
