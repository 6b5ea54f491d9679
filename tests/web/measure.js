// Runs within a page, in a browser or in Node.js: what its programs compute, beside reference values of the CPU path. Returns the
// largest differences in units of the largest value; of weights, the mean difference.
async function measure(player, reference) {
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
  // An image that is classified wrongly is not attacked by the CPU path.
  const attacked = (values) => [...values].map((value, index) => (reference.right[Math.floor(index / PIXELS)] ? value : images[index]));
  const pairs = { logits, gradient, moved: attacked(moved), made: attacked(made), losses };
  const differences = {};
  for (const [name, values] of Object.entries(pairs)) {
    differences[name] = most(differ(values, reference[name])) / most(reference[name]);
  }
  const steps = differ(learned, reference.weights);
  differences.weights = steps.reduce((sum, value) => sum + Math.abs(value), 0) / steps.length / most(reference.weights);
  return differences;
}
