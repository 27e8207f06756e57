import { classify, loadModel, type WebModel } from "florence/web";

const picture = document.querySelector("#picture") as HTMLInputElement;
const labels = document.querySelector("#labels") as HTMLTextAreaElement;
const preview = document.querySelector("#preview") as HTMLImageElement;
const status = document.querySelector("#status") as HTMLElement;
const result = document.querySelector("#result") as HTMLElement;

// A thread would otherwise run the script that onnxruntime-web is bundled into, this one, which needs the page.
const wasmPaths = { mjs: new URL("ort-wasm-simd-threaded.mjs", import.meta.url).href };

let model: Promise<WebModel> | undefined;
let latest = 0; // an answer that a newer question has overtaken is not shown

async function answer(): Promise<void> {
  const file = picture.files?.[0];
  if (!file) return;
  const question = ++latest;
  say(model ? "Looking …" : "Loading the model …");
  try {
    model ??= loadModel("model", { wasmPaths }).catch((error) => {
      model = undefined; // the next picture tries again
      throw error;
    });
    const start = performance.now();
    const lines = labels.value.split("\n").filter((line) => line.trim() !== "");
    const [predictions = []] = await classify(await model, [file], lines);
    if (question !== latest) return;
    result.replaceChildren(...predictions.map(({ label, probability }) => row(label, probability)));
    say(`${Math.round(performance.now() - start)} ms`);
  } catch (error) {
    if (question !== latest) return;
    result.replaceChildren();
    say(error instanceof Error ? error.message : String(error), true);
  }
}

function row(label: string, probability: number): HTMLElement {
  const [name, bar, percent] = [
    document.createElement("span"),
    document.createElement("div"),
    document.createElement("span"),
  ];
  name.textContent = label;
  bar.className = "bar";
  bar.style.width = `${100 * probability}%`;
  percent.textContent = `${(100 * probability).toFixed(1)} %`;
  const line = document.createElement("div");
  line.className = "row";
  line.append(name, bar, percent);
  return line;
}

function say(text: string, isError = false): void {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

picture.addEventListener("change", () => {
  const file = picture.files?.[0];
  if (!file) return;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  void answer();
});
labels.addEventListener("change", () => void answer());
