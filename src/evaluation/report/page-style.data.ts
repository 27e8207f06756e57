/** The style of the report page: readable at 400 pixels, wide tables and pictures scroll in their own box. */
export const pageStyle = `
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 20px; font: 15px/1.5 Helvetica, Arial, "DejaVu Sans", sans-serif; color: #1b1f24; background: #fff; }
h1 { font-size: 26px; margin: 8px 0; line-height: 1.2; }
h2 { font-size: 21px; margin: 44px 0 8px; padding-top: 14px; border-top: 2px solid #1f5fa8; overflow-wrap: anywhere; }
h3 { font-size: 16px; margin: 26px 0 8px; }
p { margin: 6px 0; }
.quiet { color: #5a6370; font-size: 13px; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 6px 16px; margin: 14px 0; }
a { color: #1f5fa8; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: 12px; color: #5a6370; font-weight: 600; border-bottom: 1px solid #aab2bd; padding: 4px 14px 4px 0; white-space: nowrap; vertical-align: bottom; }
td { padding: 6px 14px 6px 0; border-bottom: 1px solid #e6e9ed; vertical-align: top; white-space: nowrap; }
td.words { line-height: 1.35; white-space: normal; min-width: 260px; color: #5a6370; font-size: 12px; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; }
td.score { text-align: right; font-weight: 700; }
.bar { position: relative; display: block; width: 130px; height: 12px; margin-top: 6px; background: #eef1f4; }
.bar i { position: absolute; top: 0; height: 12px; background: #9dbfe3; }
.bar b { position: absolute; top: 0; height: 12px; width: 2px; background: #1f5fa8; }
.bar u { position: absolute; top: -3px; height: 18px; width: 0; border-left: 2px dotted #666; }
figure { margin: 10px 0; }
figcaption { font-size: 12px; line-height: 1.35; color: #333; overflow-wrap: anywhere; }
.curve svg { display: block; width: 100%; max-width: 640px; height: auto; }
.plots { display: flex; flex-wrap: wrap; gap: 8px 28px; }
.plots > div { max-width: 100%; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: 14px 12px; }
.pictures figure { margin: 0; }
.scores { width: 100%; }
.plots svg { display: block; }
.pictures img { display: block; width: 100%; height: 100px; object-fit: contain; background: #f0f2f5; image-rendering: auto; }
.right { color: #1c6b3d; }
.wrong { color: #a3341b; }
details { margin: 8px 0; border: 1px solid #dde2e8; border-radius: 6px; padding: 0 14px; }
summary { cursor: pointer; padding: 8px 0; font-weight: 600; overflow-wrap: anywhere; }
details[open] { padding-bottom: 14px; }
.note { border-left: 4px solid #c2541b; background: #fdf3ec; padding: 6px 12px; margin: 10px 0; overflow-wrap: anywhere; }
.fine { border-left: 4px solid #2e7d4f; background: #eff7f1; padding: 6px 12px; margin: 10px 0; }
@media (max-width: 520px) { body { padding: 14px; } h1 { font-size: 22px; } h2 { font-size: 18px; } .bar { width: 90px; } }
@media print { details { border: 0; } }
`;
