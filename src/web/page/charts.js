// Line charts as SVG. A series has a name, a colour (a custom property of the style sheet) and points.

// In pixels of the page, as far as there is room, so that letters are as large everywhere.
const WIDEST = 480;
const NARROWEST = 280;
const HEIGHT = 260;
const MARGIN = { left: 40, right: 78, top: 8, bottom: 36 };

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

// Round numbers from 0 to `most`, four or five of them.
function ticks(most) {
  const rough = most / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((size) => size >= rough * 0.99);
  return Array.from({ length: Math.floor(most / step + 1e-6) + 1 }, (_, index) => +(index * step).toPrecision(6));
}

// Replaces what `element` shows. `x` and `y` have a largest value, `x` a label, `y` a text for its values; `mark` is an x with a
// vertical line.
function chart(element, { label, x, y, series, mark }) {
  const width = Math.max(NARROWEST, Math.min(WIDEST, element.clientWidth || WIDEST));
  const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const left = (value) => (MARGIN.left + (inner.width * value) / x.most).toFixed(1);
  const top = (value) => (MARGIN.top + inner.height * (1 - Math.min(value / y.most, 1))).toFixed(1);
  const floor = MARGIN.top + inner.height;
  let svg = "";
  for (const value of ticks(y.most)) {
    svg += `<path class="grid" d="M${MARGIN.left} ${top(value)}h${inner.width}"/>`;
    svg += `<text x="${MARGIN.left - 8}" y="${+top(value) + 4}" text-anchor="end">${y.text(value)}</text>`;
  }
  for (const value of ticks(x.most)) svg += `<text x="${left(value)}" y="${floor + 17}" text-anchor="middle">${value}</text>`;
  svg += `<text x="${MARGIN.left + inner.width / 2}" y="${HEIGHT - 3}" text-anchor="middle">${x.label}</text>`;
  if (mark !== undefined) svg += `<path class="mark" d="M${left(mark)} ${MARGIN.top}v${inner.height}"/>`;
  let names = [];
  for (const { name, colour, points, dots } of series.filter((one) => one.points.length)) {
    const line = points.map(([at, value]) => `${left(at)} ${top(value)}`).join("L");
    svg += `<g style="--colour:var(--${colour})"><path class="line" d="M${line}"/>`;
    if (dots) svg += points.map(([at, value]) => `<circle class="dot" cx="${left(at)}" cy="${top(value)}" r="3"/>`).join("");
    svg += "</g>";
    if (name) names.push({ name, colour, at: left(points.at(-1)[0]), height: +top(points.at(-1)[1]) });
  }
  // Names stand at the ends of their lines, 15 apart at least.
  names.sort((a, b) => a.height - b.height);
  for (let i = 1; i < names.length; i++) names[i].height = Math.max(names[i].height, names[i - 1].height + 15);
  for (let i = names.length - 1, low = floor + 4; i >= 0; i--) low = (names[i].height = Math.min(names[i].height, low)) - 15;
  for (const { name, colour, at, height } of names) {
    svg += `<text class="name" style="--colour:var(--${colour})" x="${+at + 8}" y="${height + 4}">${name}</text>`;
  }
  element.innerHTML = `<svg viewBox="0 0 ${width} ${HEIGHT}" role="img" aria-label="${label}">${svg}</svg>`;
}
