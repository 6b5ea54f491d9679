// Runs within a page, in a browser or in Node.js: what its programs compute, beside reference values of the CPU path. Returns the
// largest differences in units of the largest value; of weights, the mean difference.
async function measure(player, reference) {
  await checkCounting();
  checkDistance();
  const network = Object.fromEntries(
    Object.entries(page.states).map(([name, packed]) => [name, unpack(packed)]).map(([name, values]) => [name, player.state(values.length, values)]),
  );
  const count = page.set;
  if (count !== page.labels.length) throw new Error(`the set has ${page.labels.length} images, the programs take ${count}`);
  const images = unpack(page.images);
  const subject = await Subject.begin(player, "set", count, network);
  subject.load(images, new Float32Array(page.labels));
  subject.gradient.run();
  const { gradient } = await subject.gradient.outputs();
  await subject.attack(images, reference.epsilon);
  const { logits } = await subject.answers.clean.outputs();
  const [moved, made] = [await subject.images("moved"), await subject.images("made")];
  const shares = await accuracies(subject, images, reference.epsilon);

  const training = await Training.begin(player, page.lesson, page.problem);
  const losses = [];
  while (losses.length < reference.losses.length) losses.push((await training.take()).loss);
  const weights = training.states["classifier.parameters"];
  const [learned] = await player.read([{ buffer: weights, offset: 0, bytes: 4 * reference.weights.length }]);

  const most = (values) => values.reduce((best, value) => Math.max(best, Math.abs(value)), 0);
  const differ = (actual, expected) => {
    if (actual.length !== expected.length) throw new Error(`${actual.length} values, not ${expected.length}`);
    return [...actual].map((value, index) => (Number.isFinite(value) ? value - expected[index] : Infinity));
  };
  // The CPU path does not attack an image that is classified wrongly, so there is nothing to compare with. The accuracies tell whether the
  // page counts such images as the CPU path does.
  const attacked = (values) => [...values].map((value, index) => (reference.right[Math.floor(index / PIXELS)] ? value : images[index]));
  const pairs = { logits, gradient, moved: attacked(moved), made: attacked(made), accuracies: ATTACKS.map(({ key }) => shares[key]), losses };
  const differences = {};
  for (const [name, values] of Object.entries(pairs)) {
    differences[name] = most(differ(values, reference[name])) / most(reference[name]);
  }
  const steps = differ(learned, reference.weights);
  differences.weights = steps.reduce((sum, value) => sum + Math.abs(value), 0) / steps.length / most(reference.weights);
  return differences;
}

// An image that is wrong without an attack stays wrong, also where an attack makes it right: answers of an invented set, in which image 0
// is such a one, and image 1 falls to PGD.
async function checkCounting() {
  const { classes } = page.problem;
  const all = page.labels.length;
  const answers = (wrong) => {
    const probabilities = new Float32Array(all * classes);
    page.labels.forEach((label, i) => (probabilities[i * classes + ((label + (i === wrong)) % classes)] = 1));
    return probabilities;
  };
  const set = { count: all, load() {}, attack: async () => ({ clean: answers(0), moved: answers(1), made: answers(null) }) };
  const shares = await accuracies(set, new Float32Array(all * PIXELS), 0);
  const wrong = ATTACKS.map(({ key }) => Math.round(all * (1 - shares[key])));
  if (wrong.join() !== "1,2,1") throw new Error(`of the answers 1,2,1 count as wrong, not ${wrong}`);
}

// An image of 224 by 224 pixels has more values than a function takes arguments.
function checkDistance() {
  const found = distance(new Float32Array(224 * 224 * 3).fill(0.5));
  if (Math.abs(found - Math.sqrt(37632)) > 1e-9) throw new Error(`a change of length ${Math.sqrt(37632)} counts as ${found}`);
}
