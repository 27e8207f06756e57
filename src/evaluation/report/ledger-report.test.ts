import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeDetails } from "../evaluation-details.ts";
import { Ledger } from "../ledger.ts";
import { entryKey, type LedgerEntry } from "../ledger-entry.ts";
import { ledgerReport } from "./ledger-report.ts";
import { escapeMarkup, Markup, markup } from "./markup.ts";

const hostile = `<script>alert("1")</script>'&\u0000`;

function entry(changes: Partial<LedgerEntry> = {}): LedgerEntry {
  return {
    task: "zero-shot",
    metric: "top-1",
    score: 0.5,
    interval: [0.4, 0.6],
    chance: 0.1,
    n: 100,
    failed: 0,
    model: { name: hostile, fingerprint: "0123456789abcdef" },
    data: { name: hostile, fingerprint: "fedcba9876543210", split: hostile },
    protocol: { note: hostile },
    seed: null,
    metrics: { [hostile]: 0.5 },
    version: "0.1.0",
    seconds: 1,
    date: "2026-01-02T03:04:05.000Z",
    ...changes,
  };
}

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-report-"));
  path = join(folder, "ledger.jsonl");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function reportOf(entries: readonly LedgerEntry[]) {
  const ledger = await Ledger.open(path);
  for (const one of entries) ledger.append(one);
  return ledgerReport(path);
}

describe("ledgerReport", () => {
  it("escapes every text, and asks for nothing from outside", async () => {
    const details = await writeDetails(path, entryKey(entry()), {
      classes: [
        { name: hostile, n: 3, score: 0.5 },
        { name: "b", n: 3, score: 0.5 },
      ],
      confusion: [
        [2, 1],
        [0, 3],
      ],
      confusedPairs: [{ truth: hostile, predicted: hostile, count: 1 }],
      reliability: [{ confidence: 0.5, accuracy: 0.4, count: 6 }],
      roc: {
        points: [
          [0, 0],
          [1, 1],
        ],
        area: 0.5,
      },
      best: [{ key: hostile, jpeg: "AAAA", caption: hostile, answer: hostile, score: 0.9 }],
      worst: [{ key: hostile, jpeg: `"><script>`, caption: hostile, answer: hostile, score: 0.9 }],
      notes: [hostile],
    });
    const shots = (count: number) => entry({ task: hostile, protocol: { shots: count, method: hostile }, seed: 3 });
    const { html, warnings } = await reportOf([entry({ details }), shots(1), shots(5)]);
    expect(warnings).toEqual([]);
    expect(html).not.toContain("<script");
    expect(html.split("&lt;script&gt;").length).toBeGreaterThan(15);
    expect(html).not.toContain("\u0000");
    expect(html.match(/(src|href)="(?!data:image|#)/g)).toBeNull();
    expect(html).not.toMatch(/url\(|@import|http:\/\/(?!www\.w3\.org)|https:/);
    expect(html.match(/<svg /g)).toHaveLength(4); // confusion, reliability, ROC, exposure
    for (const tag of ["table", "details", "section", "svg", "figure", "tr", "td"]) {
      expect(html.split(`<${tag}`).length, tag).toBe(html.split(`</${tag}>`).length);
    }
  });

  it("shows means over seeds in one row, and says what falls", async () => {
    const probe = (shots: number, seed: number, score: number) =>
      entry({ task: "linear-probe", protocol: { shots }, seed, score, interval: [score - 0.05, score + 0.05] });
    const { html, scores } = await reportOf([
      entry({ score: 0.3, interval: [0.25, 0.35] }),
      probe(1, 3, 0.5),
      probe(1, 30, 0.6),
      probe(5, 3, 0.5),
      probe(5, 30, 0.52),
    ]);
    expect(scores).toBe(5);
    expect(html).toContain("55.0 %</td>");
    expect(html).toContain("seeds 3, 30");
    expect(html).toContain("linear-probe falls from 1 to 5 images a class: 55.0 % to 51.0 % (within the intervals).");
  });

  it("takes the last of entries that answer the same question", async () => {
    const { html, scores } = await reportOf([entry({ score: 0.41 }), entry({ score: 0.57 })]);
    expect(scores).toBe(1);
    expect(html).toContain("57.0 %");
    expect(html).not.toContain("41.0 %</td>");
  });

  it("names what it cannot read and shows the rest", async () => {
    await writeFile(path, `not JSON\n`);
    const lost = entry({ details: "ledger-details/lost.json" });
    const outside = entry({ seed: 1, details: "../../secret.json" });
    const { html, warnings } = await reportOf([lost, outside]);
    expect(warnings).toHaveLength(3);
    expect(warnings.join("\n")).toMatch(
      /ledger\.jsonl:1: passed over[\s\S]*lost\.json[\s\S]*must lie beside the ledger/,
    );
    expect(html).toContain("50.0 %");
  });
});

describe("markup", () => {
  it("escapes strings, keeps markup, joins lists, drops nothing", () => {
    expect(markup`<p title="${`a"b`}">${["<", markup`<b>${1}</b>`, undefined, false]}</p>`).toEqual(
      new Markup(`<p title="a&quot;b">&lt;<b>1</b></p>`),
    );
    expect(escapeMarkup("a\u0008b")).toBe("a\ufffdb");
  });
});
