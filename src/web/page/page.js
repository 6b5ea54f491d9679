// What a reader does, and what is shown of it.

const at = (id) => document.getElementById(id);
// Radii of the curve, without 0.
const RADII = 8;
// Milliseconds without a change after which the set is attacked.
const PAUSE = 300;
// Milliseconds after which work on the set looks again whether the reader's image is done.
const WAY = 10;
const NO_WEBGPU =
  "This page computes with WebGPU, which is not available here; open it in a current Chrome, Edge, Firefox or Safari on a machine with a graphics processor.";

function notice(text, reload) {
  at("notice").hidden = false;
  at("notice").firstElementChild.textContent = text;
  at("notice").lastElementChild.hidden = !reload;
}

// Runs `work` again and again: once more at the end if it was asked for in between. `busy` of the result tells whether it runs.
function latest(work) {
  let again = false;
  return async function ask() {
    if (ask.busy) return void (again = true);
    ask.busy = true;
    await work().catch(failed);
    ask.busy = false;
    if (again) [again] = [false, ask()];
  };
}

function failed(error) {
  if (!page.lost) notice(`Something went wrong: ${error.message}. Reload the page to go on.`, true);
  page.lost = true;
}

const shownRadius = (epsilon) => (page.norm === "Linf" ? `${Math.round(255 * epsilon)}/255` : epsilon.toFixed(2));

class Page {
  static async open() {
    const player = await Player.open(navigator.gpu, page).catch(() => null);
    if (!player) return notice(NO_WEBGPU, false);
    const own = new Page();
    const images = unpack(page.images);
    Object.assign(own, { player, images, dark: isDark(images), epsilon: page.epsilon, curve: [], choices: 0 });
    player.device.lost.then(({ message }) => {
      page.lost = true;
      notice(`The graphics device was lost${message ? ` (${message.trim().replace(/\.$/, "")})` : ""}, and with it what was computed here.`, true);
    });
    player.device.addEventListener("uncapturederror", ({ error }) => failed(error));
    own.network = Object.fromEntries(
      Object.entries(page.states).map(([name, packed]) => [name, unpack(packed)]).map(([name, values]) => [name, player.state(values.length, values)]),
    );
    own.show = latest(() => own.look());
    own.measure = latest(() => own.count());
    own.pause = () => own.giveWay();
    own.furnish();
    own.thumbs.mark(0);
    [own.image, own.label] = [own.imageAt(0), page.labels[0]];
    await own.prepare();
    return own;
  }

  // Prepares the programs, which takes seconds. A reader may choose meanwhile: the last choice is shown as soon as that is possible.
  async prepare() {
    this.one = await Subject.begin(this.player, "one", 1, this.network);
    this.show();
    this.set = await Subject.begin(this.player, "set", page.set, this.network);
    this.measure();
  }

  // Attacks other weights from now on: those of `states` as they are at this moment, or again those of the file. They are copied,
  // because training goes on to write its own.
  use(states) {
    for (const [name, buffer] of Object.entries(this.network)) {
      if (states) this.player.copy(states[name], buffer);
      else this.player.write(buffer, unpack(page.states[name]));
    }
    this.curve = [];
    this.show();
    this.measure();
  }

  // Lets the reader's image go first. A device works in the order of submission, so that work on the set submits a step, and waits
  // here until it is done and no image of the reader's is under way.
  async giveWay() {
    await this.player.device.queue.onSubmittedWorkDone();
    while (this.show.busy && !page.lost) await new Promise((resolve) => setTimeout(resolve, WAY));
  }

  imageAt(index) {
    return this.images.subarray(index * PIXELS, (index + 1) * PIXELS);
  }

  // What is there once and for all.
  furnish() {
    const { problem, norm, labels, classes } = page;
    at("about").textContent =
      `A classifier of ${page.data_set} (${problem.height} × ${problem.width} pixels, ${problem.classes} classes), trained by the method “${page.method}”. ` +
      "It computes in this tab, on this machine, with the programs that pgn-wgpu runs.";
    const images = labels.map((_, index) => this.imageAt(index));
    this.thumbs = new Thumbs(at("thumbs"), images, problem, labels.map((label) => classes[label]), (index) => {
      this.choose(images[index], labels[index]);
    });
    const slider = at("epsilon");
    Object.assign(slider, { min: 0, max: page.largest_epsilon, step: page.largest_epsilon / (norm === "Linf" ? 32 : 40), value: page.epsilon });
    slider.addEventListener("input", () => {
      this.epsilon = +slider.value;
      this.radius();
      this.show();
      this.settle();
    });
    at("norm").textContent = `(${norm === "Linf" ? "L∞" : norm})`;
    this.radius();
    const columns = ATTACKS.map(({ key, title, colour }) => {
      const canvas = (part) => `<canvas id="${key}-${part}" role="img"></canvas><p class="soft" id="${key}-${part}-text"></p>`;
      return `<div class="column" style="--colour:var(--${colour})"><h3>${title}</h3>${canvas("image")}${canvas("change")}<p class="verdict" id="${key}-verdict"></p><div id="${key}-classes"></div></div>`;
    });
    at("columns").style.setProperty("--count", ATTACKS.length);
    at("columns").style.setProperty("--names", classes.some((name) => name.length > 3) ? "5rem" : "1.4rem");
    at("columns").innerHTML = columns.join("");
    at("foot").textContent = this.facts();
    at("notice").lastElementChild.addEventListener("click", () => location.reload());
    at("app").hidden = false;
    this.inputs();
    if (page.lesson) new Lesson(this);
  }

  facts() {
    const { description, architecture, vendor } = this.player.device.adapterInfo ?? {};
    const calls = Object.values(page.programs).reduce((sum, program) => sum + program.calls.length, 0);
    const name = description || [vendor, architecture].filter(Boolean).join(" ") || "a WebGPU adapter";
    return `This file holds ${Object.keys(page.programs).length} programs of ${calls} calls over ${page.shaders.length} shaders, the weights and the images; nothing is loaded and nothing leaves this machine. Computed on ${name}. Made by pgn-wgpu ${page.version}.`;
  }

  inputs() {
    const open = async (file) => {
      const choice = ++this.choices;
      const picture = await createImageBitmap(file).catch(() => null);
      // The reader has chosen something else meanwhile.
      if (choice !== this.choices) return void picture?.close();
      if (!picture) return (at("spoken").textContent = `${file.name} is not a picture that this browser reads.`);
      const values = fromPicture(picture, page.problem, this.dark);
      picture.close();
      this.thumbs.mark(-1);
      this.choose(values, null);
    };
    at("file").addEventListener("change", ({ target }) => {
      const [file] = target.files;
      // So that the same file, changed meanwhile, is a choice again.
      target.value = "";
      if (file) open(file);
    });
    addEventListener("dragover", (event) => (event.preventDefault(), document.body.classList.add("dropping")));
    addEventListener("dragleave", () => document.body.classList.remove("dropping"));
    addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dropping");
      if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
    });
    if (page.problem.channels > 1 || page.problem.width > 64) return;
    at("drawing").hidden = false;
    const pad = new Pad(at("pad"), page.problem, this.dark, (values) => {
      this.thumbs.mark(-1);
      this.choose(values, null);
    });
    at("clear").addEventListener("click", () => pad.clear());
  }

  // Shows an image from now on. One without a label is moved away from the class that the network sees in it.
  choose(image, label) {
    this.choices++;
    Object.assign(this, { image, label });
    paint(at("clean-image"), image, page.problem);
    this.show();
    this.settle();
  }

  // Attacks the set once the reader pauses: that takes the device longer than one image.
  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(this.measure, PAUSE);
  }

  radius() {
    at("radius").textContent = shownRadius(this.epsilon);
  }

  async look() {
    const { one, image, epsilon } = this;
    if (!one) return; // `prepare` asks again.
    let label = this.label;
    one.load(image, new Float32Array([label ?? 0]));
    if (label === null) {
      one.answers.clean.run();
      label = largest(finite((await one.answers.clean.outputs()).probabilities));
      this.player.write(one.states.labels, new Float32Array([label]));
    }
    one.gradient.run();
    const probabilities = await one.attack(image, epsilon);
    Object.values(probabilities).forEach(finite);
    const [{ gradient }, ...moved] = await Promise.all([one.gradient.outputs(), ...ATTACKS.slice(1).map(({ key }) => one.images(key))]);
    const changes = moved.map((values) => values.map((value, i) => value - image[i]));
    const gain = Math.max(1, Math.floor(0.8 / Math.max(...changes.map(most), 1e-3)));
    const steepest = most(gradient) || 1;
    this.picture("clean", image, gradient, 0.5 / steepest, "gradient of the loss");
    changes.forEach((change, i) => {
      const key = ATTACKS[i + 1].key;
      this.picture(key, moved[i], change, gain, `difference × ${gain}`);
    });
    for (const { key } of ATTACKS) this.verdict(key, probabilities[key], label);
    at("legend").textContent =
      `Grey is no change, lighter is added, darker is taken away. ` +
      (this.label === null ? `The attacks lead away from “${page.classes[label]}”, which the network sees here.` : `The label is “${page.classes[label]}”.`);
    at("spoken").textContent = ATTACKS.map(({ key, title }) => `${title}: ${page.classes[largest(probabilities[key])]}`).join(", ");
  }

  picture(key, image, change, gain, text) {
    paint(at(`${key}-image`), image, page.problem);
    paint(at(`${key}-change`), change, page.problem, (value) => 0.5 + gain * value);
    at(`${key}-change`).setAttribute("aria-label", text);
    at(`${key}-change-text`).textContent = text;
    at(`${key}-image`).setAttribute("aria-label", `${key} image`);
    if (key === "clean") return (at("clean-image-text").textContent = "as it is");
    at(`${key}-image-text`).textContent = `moved by ${shownRadius(distance(change))}`;
  }

  verdict(key, probabilities, label) {
    const best = largest(probabilities);
    const verdict = at(`${key}-verdict`);
    const said = key === "clean" && this.label === null ? "" : best === label ? "right" : `wrong, it is ${page.classes[label]}`;
    verdict.replaceChildren(page.classes[best], Object.assign(document.createElement("small"), { textContent: said }));
    const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
    const shown = probabilities.length > 10 ? order.slice(0, 5) : [...probabilities.keys()];
    at(`${key}-classes`).replaceChildren(...shown.map((index) => {
      const row = Object.assign(document.createElement("div"), { className: index === best ? "class first" : "class" });
      row.style.setProperty("--share", `${100 * probabilities[index]}%`);
      const text = (textContent) => Object.assign(document.createElement("span"), { textContent });
      row.append(text(page.classes[index]), document.createElement("i"), text(percent(probabilities[index])));
      return row;
    }));
  }

  // Accuracies of the set at the radius, then the next point of the curve. What was begun with other weights is dropped: `use` asks again.
  async count() {
    const { set, epsilon, curve } = this;
    if (!set) return; // `prepare` asks again.
    // Every point of the curve asks again, mostly at the same radius.
    if (this.counted?.epsilon !== epsilon || this.counted.curve !== curve) {
      const now = await accuracies(set, this.images, epsilon, this.pause);
      if (curve !== this.curve) return;
      this.counted = { epsilon, curve };
      const rows = ATTACKS.map(({ key, title, colour }) => `<tr style="--colour:var(--${colour})"><th scope="row">${title}</th><td>${percent(now[key])}</td></tr>`);
      at("accuracy").innerHTML = rows.join("");
      at("images").textContent = `Of the ${page.labels.length} images of this page, at ε = ${shownRadius(epsilon)}. PGD takes ${page.iterations} steps.`;
    }
    this.plot();
    if (curve.length > RADII) return;
    const radius = (page.largest_epsilon * curve.length) / RADII;
    const shares = await accuracies(set, this.images, radius, this.pause);
    if (curve !== this.curve) return;
    curve.push([radius, shares]);
    this.plot();
    this.settle();
  }

  plot() {
    const unit = page.norm === "Linf" ? 255 : 1;
    const series = ATTACKS.slice(1).map(({ key, title, colour }) => ({
      name: title, colour, dots: true, points: this.curve.map(([radius, shares]) => [unit * radius, shares[key]]),
    }));
    const label = `radius ε (${page.norm === "Linf" ? "L∞, in 255ths" : page.norm})`;
    chart(at("curve"), { label, x: { most: unit * page.largest_epsilon, label }, y: { most: 1, text: percent }, series, mark: unit * this.epsilon });
  }
}

// Training in the tab.
class Lesson {
  constructor(owner) {
    Object.assign(this, { owner, going: false, loop: Promise.resolve() });
    const { lesson } = page;
    at("lesson").hidden = false;
    at("game").textContent =
      `Two networks play against each other: a generator perturbs ${lesson.labels.length.toLocaleString("en")} training images, the classifier learns from them, and the generator learns to raise the classifier’s loss at a price of ${lesson.price} per squared length. ` +
      `${lesson.steps} steps of ${lesson.batch_size} images, as “pgn-wgpu train” takes them.`;
    at("measured").textContent = `Of the ${page.labels.length} images above, after each pass over the training images; PGD at ε = ${shownRadius(page.epsilon)}.`;
    at("start").addEventListener("click", () => this.toggle());
    at("restart").addEventListener("click", () => this.reset());
    at("swap").addEventListener("click", () => this.swap());
    this.forget();
  }

  // Forgets a training, whose memory on the device would stay until the page is closed.
  forget() {
    this.test?.destroy();
    this.training?.destroy();
    Object.assign(this, { training: null, test: null, losses: [], shares: [], last: null });
    this.plot();
  }

  // Nothing else can be asked for while the last step is waited for: what it trained is forgotten.
  async reset() {
    this.going = false;
    at("start").disabled = at("restart").disabled = at("swap").disabled = true;
    await this.loop;
    if (at("swap").getAttribute("aria-pressed") === "true") this.swap();
    this.forget();
    at("progress").textContent = "";
    at("restart").hidden = at("swap").hidden = at("charts").hidden = true;
    at("start").textContent = "Train from scratch";
    at("start").disabled = at("restart").disabled = at("swap").disabled = false;
  }

  // One run of `train` after the other: accuracy is measured while no step is taken.
  toggle() {
    this.going = !this.going;
    at("start").textContent = this.going ? "Pause" : "Go on";
    at("restart").hidden = this.going;
    if (!this.going) return;
    at("charts").hidden = false;
    if (!this.training) at("progress").textContent = "The programs are being prepared.";
    this.loop = this.loop.then(() => this.train()).catch(failed);
  }

  async train() {
    const { player } = this.owner;
    this.training ??= await Training.begin(player, page.lesson, page.problem);
    this.test ??= await Subject.begin(player, "set", page.set, this.training.evaluated);
    while (this.going && this.training.step < page.lesson.steps) {
      this.last = await this.training.take();
      this.losses.push([this.last.step, this.last.loss]);
      if (this.last.step % page.lesson.per_epoch === 0) {
        this.shares.push([this.last.step, await accuracies(this.test, this.owner.images, page.epsilon, this.owner.pause)]);
        at("swap").hidden = false;
      }
      this.plot();
    }
    if (this.training.step < page.lesson.steps) return;
    this.going = false;
    at("start").textContent = "Trained";
    at("start").disabled = true;
    at("restart").hidden = false;
  }

  // Attacks the network of this tab above, as it is now, or the one of the file again.
  swap() {
    const own = at("swap").getAttribute("aria-pressed") !== "true";
    at("swap").setAttribute("aria-pressed", own);
    at("swap").textContent = own ? "Attack the file’s network again" : "Attack this network above";
    Object.assign(at("above"), { hidden: !own, textContent: `Attacked above: this network as it was after step ${this.training.step}.` });
    this.owner.use(own ? this.training.evaluated : null);
  }

  plot() {
    const { steps } = page.lesson;
    if (this.last) {
      const { step, loss, delta } = this.last;
      at("progress").textContent = `Step ${step} of ${steps}: loss ${loss.toFixed(2)}, mean length of the perturbations ${delta.toFixed(2)}`;
    }
    const x = { most: steps, label: "steps" };
    chart(at("losses"), { label: "loss", x, y: { most: 2.5, text: (value) => value.toFixed(1) }, series: [{ name: "", colour: "generator", points: this.losses }] });
    const series = ATTACKS.map(({ key, title, colour }) => ({ name: title, colour, points: this.shares.map(([step, shares]) => [step, shares[key]]) }));
    chart(at("accuracies"), { label: "accuracy", x, y: { most: 1, text: percent }, series });
  }
}

page.opened = Page.open().catch(failed);
