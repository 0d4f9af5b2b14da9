/** A vega-lite specification as SVG and PNG, without a browser. */
import { Resvg } from "@resvg/resvg-js";
import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

const FONT = "DejaVu Sans";
const SCALE = 2;

const CONFIG: NonNullable<TopLevelSpec["config"]> = {
  font: FONT,
  background: "white",
  padding: 12,
  title: { fontSize: 15, anchor: "start", offset: 12, subtitleColor: "#555", subtitlePadding: 4 },
  header: { labelFontSize: 12, labelFontWeight: "bold", titleFontSize: 12, title: null },
  axis: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", gridColor: "#e5e5e5" },
  legend: { orient: "bottom", title: null, labelFontSize: 12, symbolStrokeWidth: 3, labelLimit: 320 },
  view: { stroke: "#cccccc" },
};

export interface Drawing {
  readonly svg: string;
  readonly png: Buffer;
}

export async function draw(spec: TopLevelSpec): Promise<Drawing> {
  // It warns of facets with scales of their own, which are wanted.
  const logger = vega.logger(vega.Error);
  const compiled = compile({ ...spec, config: CONFIG } as TopLevelSpec, { logger }).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: "none", logLevel: vega.Error });
  const svg = await view.toSVG();
  view.finalize();
  const font = { loadSystemFonts: true, defaultFontFamily: FONT };
  const png = new Resvg(svg, { font, fitTo: { mode: "zoom", value: SCALE } }).render().asPng();
  return { svg, png };
}
