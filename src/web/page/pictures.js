// Pictures: what a tensor looks like, what is drawn or dropped as a tensor, and the list of images.

// Draws `values` (height, width, channels; 1 channel is grey, more are red, green and blue) on a canvas.
function paint(canvas, values, { height, width, channels }, tone = (value) => value) {
  Object.assign(canvas, { width, height });
  const picture = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = 255 * tone(values[i * channels + (channels < 3 ? 0 : c)]);
    picture.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

// The middle of a picture in the size of the model's images. Where the model's own grey images are light on dark, as digits are, a picture
// with a light ground is turned round.
function fromPicture(source, { height, width, channels }, dark) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  const scale = Math.max(width / source.width, height / source.height);
  const [w, h] = [source.width * scale, source.height * scale];
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, (width - w) / 2, (height - h) / 2, w, h);
  const { data } = context.getImageData(0, 0, width, height);
  const grey = (i) => (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255;
  const values = new Float32Array(height * width * channels);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < channels; c++) values[i * channels + c] = channels < 3 ? grey(i) : data[4 * i + c] / 255;
  }
  return channels === 1 && dark && !isDark(values) ? values.map((value) => 1 - value) : values;
}

// Whether pixels are rather dark than light.
function isDark(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length <= 0.5;
}

// Where a reader draws, light on dark or the other way round: strokes on a fine canvas, of which each pixel of the image is the mean.
class Pad {
  constructor(canvas, shape, dark, changed) {
    const [pen, ground] = dark ? ["white", "black"] : ["black", "white"];
    Object.assign(this, { canvas, shape, pen, ground, changed, fine: 8, at: null, cell: [shape.height >> 1, shape.width >> 1] });
    this.ink = new OffscreenCanvas(shape.width * this.fine, shape.height * this.fine);
    this.context = this.ink.getContext("2d", { willReadFrequently: true });
    this.clear();
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.at = null;
      this.stroke(this.place(event));
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && this.stroke(this.place(event)));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.show());
  }

  place({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [((clientX - box.left) / box.width) * this.ink.width, ((clientY - box.top) / box.height) * this.ink.height];
  }

  stroke([x, y]) {
    const [fromX, fromY] = this.at ?? [x, y];
    const { context, fine, pen } = this;
    Object.assign(context, { strokeStyle: pen, lineCap: "round", lineWidth: 1.3 * fine });
    context.beginPath();
    context.moveTo(fromX, fromY);
    context.lineTo(x, y + 0.01);
    context.stroke();
    this.at = [x, y];
    this.show();
    this.changed(this.values());
  }

  key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const { height, width } = this.shape;
    if (event.key === " ") {
      this.at = null;
      this.stroke([(this.cell[1] + 0.5) * this.fine, (this.cell[0] + 0.5) * this.fine]);
    } else if (moves[event.key]) {
      const [row, column] = this.cell.map((at, side) => at + moves[event.key][side]);
      this.cell = [Math.min(Math.max(row, 0), height - 1), Math.min(Math.max(column, 0), width - 1)];
    } else return;
    event.preventDefault();
    this.show(true);
  }

  values() {
    const { fine, ink, shape } = this;
    const { data } = this.context.getImageData(0, 0, ink.width, ink.height);
    const values = new Float32Array(shape.height * shape.width);
    for (let i = 0; i < data.length / 4; i++) {
      const [row, column] = [Math.floor(i / ink.width / fine), Math.floor((i % ink.width) / fine)];
      values[row * shape.width + column] += data[4 * i] / 255 / (fine * fine);
    }
    return values;
  }

  show(cursor = false) {
    paint(this.canvas, this.values(), this.shape);
    if (!cursor) return;
    const context = this.canvas.getContext("2d");
    context.fillStyle = "rgb(93 183 240 / 0.6)";
    context.fillRect(this.cell[1], this.cell[0], 1, 1);
  }

  clear() {
    this.context.fillStyle = this.ground;
    this.context.fillRect(0, 0, this.ink.width, this.ink.height);
    this.show();
  }
}

// A list of images of which one is chosen, by pointer or arrow keys.
class Thumbs {
  constructor(list, images, shape, names, chosen) {
    Object.assign(this, { list, chosen, at: -1 });
    this.items = images.map((values, index) => {
      const canvas = document.createElement("canvas");
      Object.assign(canvas, { id: `thumb-${index}` });
      canvas.setAttribute("role", "option");
      canvas.setAttribute("aria-label", `image ${index + 1}, ${names[index]}`);
      canvas.addEventListener("click", () => this.choose(index));
      paint(canvas, values, shape);
      list.append(canvas);
      return canvas;
    });
    list.addEventListener("keydown", (event) => {
      const row = getComputedStyle(list).gridTemplateColumns.split(" ").length;
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row }[event.key];
      if (!step) return;
      event.preventDefault();
      this.choose(Math.min(Math.max(this.at + step, 0), this.items.length - 1));
    });
  }

  // Marks an image; -1 marks none.
  mark(index) {
    this.items[this.at]?.removeAttribute("aria-selected");
    this.items[index]?.setAttribute("aria-selected", "true");
    this.items[index]?.scrollIntoView({ block: "nearest" });
    index < 0 ? this.list.removeAttribute("aria-activedescendant") : this.list.setAttribute("aria-activedescendant", `thumb-${index}`);
    this.at = index;
  }

  choose(index) {
    this.mark(index);
    this.chosen(index);
  }
}
