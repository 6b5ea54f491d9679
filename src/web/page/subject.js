// A network under attack: the programs of src/web/programs.rs on one set of weights.

const page = JSON.parse(document.getElementById("data").textContent);
const PIXELS = page.problem.height * page.problem.width * page.problem.channels;
const ATTACKS = [
  { key: "clean", title: "Clean", colour: "clean" },
  { key: "moved", title: "PGD", colour: "pgd" },
  ...(page.generator ? [{ key: "made", title: "Generator", colour: "generator" }] : []),
];
// The class with the largest probability, of probabilities that are `finite`.
const largest = (values) => values.reduce((best, value, index) => (value > values[best] ? index : best), 0);
// Probabilities that are numbers: NaN would count as the first class.
function finite(probabilities) {
  if (probabilities.every(Number.isFinite)) return probabilities;
  throw new Error("the network answers with a probability that is not finite, so it cannot be judged");
}
// The largest absolute value.
const most = (values) => values.reduce((best, value) => Math.max(best, Math.abs(value)), 0);
// The length of a change of an image, in the norm of the page.
const distance = (change) => (page.norm === "Linf" ? most(change) : Math.sqrt(change.reduce((sum, value) => sum + value * value, 0)));

// The programs for so many images at a time on one network.
class Subject {
  static async begin(player, prefix, count, network) {
    const states = { ...network, images: player.state(count * PIXELS), labels: player.state(count) };
    states.moved = player.state(count * PIXELS);
    states.made = player.state(count * PIXELS);
    const bind = (program, more) => player.bind(`${prefix}.${program}`, { ...states, ...more });
    const subject = Object.assign(new Subject(), { player, states, count, bytes: 4 * count * PIXELS });
    subject.gradient = await bind("gradient");
    subject.step = await bind("step");
    subject.generator = page.generator ? await bind("generator") : null;
    subject.answers = {};
    for (const { key } of ATTACKS) {
      subject.answers[key] = await bind("answer", key === "clean" ? {} : { images: states[key] });
    }
    return subject;
  }

  load(images, labels) {
    this.player.write(this.states.images, images);
    this.player.write(this.states.labels, labels);
  }

  // The loaded images under every attack: probabilities by attack. `pause` is waited for after each step.
  async attack(images, epsilon, pause = null) {
    this.player.write(this.states.moved, images);
    const length = Math.fround(Math.fround(2.5 * Math.fround(epsilon)) / page.iterations);
    for (let i = 0; i < page.iterations; i++) {
      this.step.run({ epsilon: [epsilon], length: [length] });
      if (pause) await pause();
    }
    this.generator?.run({ epsilon: [epsilon] });
    for (const answer of Object.values(this.answers)) answer.run();
    const entries = Object.entries(this.answers).map(async ([key, answer]) => [key, (await answer.outputs()).probabilities]);
    return Object.fromEntries(await Promise.all(entries));
  }

  // Frees the memory that it has made; the network is its owner's.
  destroy() {
    const { images, labels, moved, made } = this.states;
    for (const buffer of [images, labels, moved, made]) buffer.destroy();
    for (const session of [this.gradient, this.step, this.generator, ...Object.values(this.answers)]) session?.destroy();
  }

  // The images as an attack has left them.
  async images(key) {
    return (await this.player.read([{ buffer: this.states[key], offset: 0, bytes: this.bytes }]))[0];
  }
}

// Shares of all images of the page that are classified as labelled, by attack. An image that is wrong without an attack stays wrong,
// as in src/attacks/outcome.rs. See `attack` for `pause`.
async function accuracies(set, images, epsilon, pause) {
  const { classes } = page.problem;
  const right = Object.fromEntries(ATTACKS.map(({ key }) => [key, 0]));
  for (let start = 0; start < page.labels.length; start += set.count) {
    const labels = page.labels.slice(start, start + set.count);
    const batch = new Float32Array(set.count * PIXELS);
    batch.set(images.subarray(start * PIXELS, (start + labels.length) * PIXELS));
    const padded = new Float32Array(set.count);
    padded.set(labels);
    set.load(batch, padded);
    const probabilities = await set.attack(batch, epsilon, pause);
    for (const { key } of ATTACKS) finite(probabilities[key].subarray(0, labels.length * classes));
    const isRight = (key, i) => largest(probabilities[key].subarray(i * classes, (i + 1) * classes)) === labels[i];
    for (const { key } of ATTACKS) right[key] += labels.filter((_, i) => isRight("clean", i) && isRight(key, i)).length;
  }
  return Object.fromEntries(Object.entries(right).map(([key, count]) => [key, count / page.labels.length]));
}
