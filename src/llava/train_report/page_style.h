// SPDX-License-Identifier: Apache-2.0
//
// The style sheet of the page: light and dark as the reader's system is, plain on paper.
#pragma once

#include <string_view>

namespace llava::train_report {

inline constexpr std::string_view kPageStyle = R"(
:root{color-scheme:light dark;--text:#1c1e21;--quiet:#5b626b;--page:#fff;--panel:#f6f7f9;--edge:#d5d9df;--accent:#1f66b5;--second:#c2571a;--faint:#9dbde0;--warn:#8a4b00;--warn-page:#fff4e0}
@media screen and (prefers-color-scheme:dark){:root{--text:#e4e6e9;--quiet:#a3abb5;--page:#15181c;--panel:#1e2329;--edge:#3a424c;--accent:#6fb1f5;--second:#f0a05c;--faint:#3d6288;--warn:#ffc971;--warn-page:#3a2c12}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1{margin:0;font-size:1.7rem;line-height:1.25;overflow-wrap:anywhere}
h2{margin:2.4rem 0 .8rem;padding-bottom:.25rem;border-bottom:1px solid var(--edge);font-size:1.25rem}
h3{margin:1.4rem 0 .5rem;font-size:1rem}
p{margin:.5rem 0}
.quiet{color:var(--quiet)}
nav{margin:1rem 0 0;font-size:.95rem}
nav a{margin-right:1.1rem;color:var(--accent)}
.problems{margin:1.25rem 0;padding:.7rem 1rem .7rem 2rem;background:var(--warn-page);color:var(--warn);border-radius:6px;overflow-wrap:anywhere}
dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.9rem 1.6rem;margin:1rem 0}
dl.facts div{min-width:0}
dt{color:var(--quiet);font-size:.85rem}
dd{margin:0;font-weight:600;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr));gap:1.2rem}
figure{margin:0;padding:.8rem .9rem .5rem;background:var(--panel);border:1px solid var(--edge);border-radius:8px;break-inside:avoid}
figcaption{margin-bottom:.35rem;font-size:.9rem}
figure>svg{display:block;width:100%;height:auto}
svg text{fill:var(--quiet);font:11.5px system-ui,sans-serif}
.key{display:block;color:var(--quiet);font-size:.85rem}
.key svg{width:18px;height:8px;vertical-align:middle}
.grid{stroke:var(--edge);stroke-width:.7}
.axis{stroke:var(--quiet)}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}
.first{stroke:var(--accent)}
.second{stroke:var(--second);stroke-width:2}
.faint{stroke:var(--faint);stroke-width:1.2}
circle.second{fill:var(--second)}
.bar{fill:var(--accent)}
.limit{stroke:var(--second);stroke-dasharray:4 3}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem}
th,td{padding:.25rem 1.2rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--edge);overflow-wrap:anywhere}
th{color:var(--quiet);font-weight:500}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:.92em ui-monospace,monospace;overflow-wrap:anywhere}
.flags{columns:22rem;column-gap:2rem;margin:0;padding:0;list-style:none;font-size:.88rem}
.flags li{break-inside:avoid;overflow-wrap:anywhere}
.asked{display:grid;grid-template-columns:minmax(0,256px) minmax(0,1fr);gap:1.2rem;margin:0 0 1.2rem;padding:1rem;background:var(--panel);border:1px solid var(--edge);border-radius:8px;break-inside:avoid}
.asked img{display:block;max-width:100%;height:auto;border-radius:4px}
.asked .text{white-space:pre-wrap;overflow-wrap:anywhere}
.asked h3{margin:0 0 .4rem;font-size:.85rem;font-weight:500;color:var(--quiet)}
.asked table{width:100%;margin-top:.4rem}
.asked td.number,.asked th.number{width:4rem}
.gone{padding:.8rem;border:1px dashed var(--edge);border-radius:4px;color:var(--quiet);font-size:.85rem;overflow-wrap:anywhere}
.same{color:var(--quiet);font-size:.85em;white-space:nowrap}
@media (max-width:640px){.asked{grid-template-columns:minmax(0,1fr)}}
@media print{body{font-size:10.5pt}main{max-width:none;padding:0}nav{display:none}figure,.asked,.problems{background:none}h2{break-after:avoid}}
)";

}  // namespace llava::train_report
