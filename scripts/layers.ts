/**
 * The layers of src/: a folder may import from lower ranks only. Pure folders run in a browser as they are, so they
 * import neither `node:*` nor anything impure.
 */

export interface Layer {
  readonly rank: number;
  readonly isPure: boolean;
  readonly holds: string;
}

export const layers: Readonly<Record<string, Layer>> = {
  core: { rank: 0, isPure: true, holds: "errors, seeded randomness, value types" },
  graph: { rank: 1, isPure: true, holds: "symbolic tensors, operators with shape and gradient rules, ONNX encoding" },
  metrics: { rank: 1, isPure: true, holds: "scores, on plain arrays" },
  io: { rank: 1, isPure: false, holds: "files, images, archives, caches, downloads" },
  nn: { rank: 2, isPure: true, holds: "layer families" },
  runtime: { rank: 2, isPure: false, holds: "graph → ONNX Runtime program" },
  data: { rank: 2, isPure: false, holds: "tokenizers, image transforms, dataset formats, shards" },
  search: { rank: 2, isPure: false, holds: "embedding of many files, exact nearest neighbours" },
  models: { rank: 3, isPure: true, holds: "image and text encoders, two-tower model" },
  zoo: { rank: 4, isPure: false, holds: "names, weights and cards of models; importers" },
  tasks: { rank: 4, isPure: false, holds: "one folder a task" },
  training: { rank: 5, isPure: false, holds: "the one training loop and what it needs" },
  evaluation: { rank: 6, isPure: false, holds: "the ledger of scores, one file an evaluation, the report" },
  cli: { rank: 7, isPure: false, holds: "one file a command" },
  server: { rank: 7, isPure: false, holds: "one file a route" },
  web: { rank: 7, isPure: true, holds: "the browser's entry: exported models on onnxruntime-web" },
};

/** Files of impure folders that are pure all the same: pixel and token maths, classification by labels. */
export const pureFiles: readonly RegExp[] = [
  /^data\/tokenizers\//,
  /^data\/box-transforms\//,
  /^data\/(resize|resize-kernels|wasm-code|resampling-kernels|transforms|augment|crop-sampler)\.ts$/,
  /^tasks\/detection\/(assignment|decode-detections|losses)\.ts$/,
  /^tasks\/classification\/(label-probabilities|prompts|templates\.data|text-averages|types)\.ts$/,
];

/** Packages that run in a browser, and so may be imported by pure files. */
export const browserPackages: ReadonlySet<string> = new Set([
  "@bufbuild/protobuf",
  "entities",
  "onnx-proto",
  "onnxruntime-web",
  "zod",
]);

/** Folders whose entries know nothing of each other; files directly in them are shared by all entries. */
export const siblingFolders: readonly string[] = ["tasks", "evaluation/tasks", "cli/commands", "server/routes"];

/** One import of a source file. */
export interface ImportEdge {
  /** Path under src/, such as `nn/linear.ts`. */
  readonly from: string;
  /** Path under src/, or a package or `node:` name. */
  readonly to: string;
  readonly isInternal: boolean;
  /** `import type` vanishes when compiled, so it makes no cycle; the other rules hold for it too. */
  readonly isTypeOnly: boolean;
}

/** Every breach of the table, one line each. */
export function findBreaches(edges: readonly ImportEdge[]): string[] {
  return [...edges.flatMap(breachesOfEdge), ...findCycles(edges)];
}

/** Whether a file must run in a browser. */
export function isPureFile(path: string): boolean {
  return Boolean(layers[folderOf(path)]?.isPure) || pureFiles.some((pattern) => pattern.test(path));
}

/** The first folder of a path under src/; empty for a file directly in src/. */
export function folderOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : "";
}

function breachesOfEdge({ from, to, isInternal, isTypeOnly }: ImportEdge): string[] {
  const breaches: string[] = [];
  if (!isInternal) {
    // Types of packages and of Node vanish when compiled.
    const packageName = to.split("/", to.startsWith("@") ? 2 : 1).join("/");
    if (isPureFile(from) && !isTypeOnly && !browserPackages.has(packageName)) {
      breaches.push(`${from}: is pure, but imports ${to}`);
    }
    return breaches;
  }
  const [source, target] = [folderOf(from), folderOf(to)];
  if (source !== "" && source !== target) {
    if (!layers[source]) return [`${from}: its folder ${source}/ has no rank in scripts/layers.ts`];
    if (target === "") breaches.push(`${from}: imports ${to}, which is above every layer`);
    else if (!layers[target]) breaches.push(`${from}: imports ${to}, whose folder has no rank in scripts/layers.ts`);
    else if (layers[target].rank >= layers[source].rank) {
      const direction = layers[target].rank === layers[source].rank ? "sideways" : "upward";
      breaches.push(`${from}: imports ${direction} from ${to}`);
    }
  }
  if (isPureFile(from) && !isTypeOnly && !isPureFile(to)) breaches.push(`${from}: is pure, but imports impure ${to}`);
  for (const folder of siblingFolders) {
    const [one, other] = [entryIn(folder, from), entryIn(folder, to)];
    if (one && other && one !== other) breaches.push(`${from}: imports its sibling ${to}`);
  }
  return breaches;
}

/** The entry of a sibling folder that a path belongs to: a sub-folder, or a file where siblings are files. */
function entryIn(folder: string, path: string): string | undefined {
  if (!path.startsWith(`${folder}/`)) return undefined;
  const rest = path.slice(folder.length + 1);
  if (rest.includes("/")) return rest.slice(0, rest.indexOf("/"));
  return folder === "tasks" ? undefined : rest;
}

/** Cycles of value imports, each as `a → b → a`. */
function findCycles(edges: readonly ImportEdge[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to, isInternal, isTypeOnly } of edges) {
    if (isInternal && !isTypeOnly) targets.set(from, [...(targets.get(from) ?? []), to]);
  }
  const finished = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(file);
    if (seenAt >= 0) {
      cycles.push(`import cycle: ${[...trail.slice(seenAt), file].join(" → ")}`);
      return;
    }
    if (finished.has(file)) return;
    for (const target of targets.get(file) ?? []) visit(target, [...trail, file]);
    finished.add(file);
  };
  for (const file of targets.keys()) visit(file, []);
  return cycles;
}
