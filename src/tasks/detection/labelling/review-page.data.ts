/** The style and script of the page that labels are reviewed on. */
export const reviewStyle = `
:root { color-scheme: light dark; --edge: #8886; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1500px; padding: 0 16px 60px; }
h1 { font-size: 1.3rem; margin: 18px 0 2px; }
.bar { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center;
  padding: 10px 0; background: Canvas; border-bottom: 1px solid var(--edge); }
.bar input[type=number] { width: 4.5em; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 16px; margin-top: 16px; }
figure { margin: 0; border: 1px solid var(--edge); border-radius: 6px; overflow: hidden; }
figure.accepted { outline: 3px solid #388e3c; } figure.rejected { outline: 3px solid #d32f2f; opacity: .6; }
.view { position: relative; background: #7772; }
.view img { display: block; width: 100%; } .view svg { position: absolute; inset: 0; width: 100%; height: 100%; }
rect { fill: transparent; stroke-width: 2; vector-effect: non-scaling-stroke; cursor: pointer; }
rect.off { stroke-dasharray: 3 4; opacity: .45; } rect:focus { outline: none; stroke-width: 4; }
figcaption { padding: 6px 8px; font-size: 13px; overflow-wrap: anywhere; }
figcaption ul { margin: 4px 0; padding: 0; list-style: none; } figcaption li.off { text-decoration: line-through; opacity: .6; }
figcaption li { cursor: pointer; } .swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
`;

export const reviewScript = `
const data = JSON.parse(document.getElementById("labels").textContent);
const { labels, colours, pictures, identity } = data;
const store = "florence-review:" + identity;
let decisions = {};
try { decisions = JSON.parse(localStorage.getItem(store)) || {}; } catch { /* a page of a file may have no storage */ }
const keep = () => { try { localStorage.setItem(store, JSON.stringify(decisions)); } catch { /* as above */ } };
const get = (id) => document.getElementById(id);
const pageSize = 60;
let page = 0;
const own = (file) => (decisions[file] ??= { status: "open", off: [] });
const shownBoxes = (p) => {
  const [low, high, label] = [Number(get("low").value), Number(get("high").value), get("label").value];
  return p.b.map((box, i) => ({ box, i })).filter(({ box }) => box[5] >= low && box[5] <= high && (label === "" || labels[box[4]] === label));
};
function chosen() {
  const wanted = get("status").value;
  const isWhole = get("label").value === "" && Number(get("low").value) <= 0 && Number(get("high").value) >= 1;
  const rows = pictures.map((p) => ({ p, boxes: shownBoxes(p) }))
    .filter(({ p, boxes }) => (boxes.length > 0 || (isWhole && p.b.length === 0)) && (wanted === "" || (decisions[p.f]?.status ?? "open") === wanted));
  const least = ({ boxes }) => boxes.reduce((low, { box }) => Math.min(low, box[5]), 2);
  const order = get("order").value;
  if (order === "worst") rows.sort((a, b) => least(a) - least(b));
  if (order === "best") rows.sort((a, b) => least(b) - least(a));
  if (order === "most") rows.sort((a, b) => b.boxes.length - a.boxes.length);
  return rows;
}
const svgName = "http://www.w3.org/2000/svg";
function make(name, attributes, parent, text) {
  const element = name === "svg" || name === "rect" || name === "title" ? document.createElementNS(svgName, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}
function figure({ p, boxes }) {
  const status = decisions[p.f]?.status ?? "open";
  const root = make("figure", { class: status });
  const view = make("div", { class: "view" }, root);
  make("img", { src: p.s, loading: "lazy", alt: p.f, width: p.w, height: p.h, style: "height:auto" }, view);
  const svg = make("svg", { viewBox: "0 0 " + p.w + " " + p.h, preserveAspectRatio: "none" }, view);
  const caption = make("figcaption", {}, root);
  make("div", {}, caption, p.f);
  const list = make("ul", {}, caption);
  for (const { box, i } of boxes.toSorted((a, b) => (b.box[2] - b.box[0]) * (b.box[3] - b.box[1]) - (a.box[2] - a.box[0]) * (a.box[3] - a.box[1]))) {
    const [x0, y0, x1, y1, label, score] = box;
    const isOff = decisions[p.f]?.off.includes(i);
    const name = labels[label] + " " + score.toFixed(2);
    const rect = make("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, stroke: colours[label % colours.length], class: isOff ? "off" : "", tabindex: 0 }, svg);
    make("title", {}, rect, name + (isOff ? " (rejected)" : ""));
    const item = make("li", { class: isOff ? "off" : "" }, list);
    make("span", { class: "swatch", style: "background:" + colours[label % colours.length] }, item);
    item.append(name);
    const toggle = () => {
      const { off } = own(p.f);
      own(p.f).off = off.includes(i) ? off.filter((one) => one !== i) : [...off, i];
      keep();
      root.replaceWith(figure({ p, boxes }));
      count();
    };
    rect.addEventListener("click", toggle);
    item.addEventListener("click", toggle);
    rect.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); } });
  }
  for (const [word, value] of [["Accept", "accepted"], ["Reject", "rejected"], ["Undo", "open"]]) {
    make("button", { type: "button" }, caption, word).addEventListener("click", () => {
      own(p.f).status = value;
      keep();
      root.replaceWith(figure({ p, boxes }));
      count();
    });
  }
  return root;
}
function count() {
  const of = (status) => Object.values(decisions).filter((one) => one.status === status).length;
  const off = Object.values(decisions).reduce((sum, one) => sum + one.off.length, 0);
  get("count").textContent = of("accepted") + " accepted, " + of("rejected") + " rejected, " + off + " boxes rejected";
}
function draw() {
  const rows = chosen();
  const pages = Math.max(1, Math.ceil(rows.length / pageSize));
  page = Math.min(page, pages - 1);
  get("pictures").replaceChildren(...rows.slice(page * pageSize, (page + 1) * pageSize).map(figure));
  get("place").textContent = rows.length + " pictures, page " + (page + 1) + " of " + pages;
  count();
}
for (const label of labels) make("option", { value: label }, get("label"), label);
for (const id of ["low", "high", "label", "order", "status"]) get(id).addEventListener("change", () => { page = 0; draw(); });
get("previous").addEventListener("click", () => { page = Math.max(0, page - 1); draw(); });
get("next").addEventListener("click", () => { page++; draw(); });
get("export").addEventListener("click", () => {
  const rows = pictures.filter((p) => decisions[p.f]).map((p) => ({
    file: p.f,
    status: decisions[p.f].status,
    boxes: p.b.map(([x0, y0, x1, y1, label, score], i) => ({ box: [x0, y0, x1, y1], label: labels[label], score, rejected: decisions[p.f].off.includes(i) })),
  }));
  const text = JSON.stringify({ format: "florence-review/1", identity, pictures: rows }, null, 1);
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "decisions.json" });
  link.click();
});
draw();
`;
