// Training in the page: batches as pgn-wgpu makes them, and one step after the other. See src/web/lesson.rs.

// Streams of random numbers, as in src/random.rs.
const SHUFFLE = 3;
const AUGMENT = 4;

// Four 32-bit integers from four (PCG4D, Jarzynski and Olano 2020), as in src/random.rs.
function pcg4d(seed) {
  let [x, y, z, w] = seed.map((v) => (Math.imul(v, 1664525) + 1013904223) | 0);
  const mix = () => {
    x = (x + Math.imul(y, w)) | 0;
    y = (y + Math.imul(z, x)) | 0;
    z = (z + Math.imul(x, y)) | 0;
    w = (w + Math.imul(y, z)) | 0;
  };
  mix();
  [x, y, z, w] = [x, y, z, w].map((v) => v ^ (v >>> 16));
  mix();
  return [x, y, z, w].map((v) => v >>> 0);
}

// A number below `count` from 32 random bits.
const below = (bits, count) => Math.floor((bits * count) / 2 ** 32);

// Makes the batches of training.
class Batches {
  constructor(lesson, [height, width, channels]) {
    Object.assign(this, { lesson, height, width, channels });
    this.images = unpack(lesson.images);
    this.epoch = -1;
  }

  bits(stream, major, minor) {
    const [low, high] = this.lesson.seed;
    return pcg4d([low, high ^ Math.imul(stream, 0x9e3779b9), major, minor]);
  }

  // The order of the images in an epoch.
  order(epoch) {
    const order = this.lesson.labels.map((_, index) => index);
    if (!this.lesson.shuffle) return order;
    for (let i = order.length - 1; i > 0; i--) {
      const j = below(this.bits(SHUFFLE, epoch, i)[0], i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  // Writes image `index` to `to`, mirrored and shifted as it is in that epoch.
  place(index, epoch, to) {
    const { height, width, channels, images } = this;
    const [above, before] = this.lesson.padding;
    const [coin, y, x] = this.bits(AUGMENT, epoch, index);
    const flip = this.lesson.flip && coin >>> 31 === 1;
    const top = below(y, 2 * above + 1) - above;
    const left = below(x, 2 * before + 1) - before;
    const reflect = (at, side) => (at < 0 ? -at : at < side ? at : 2 * (side - 1) - at);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const seen = reflect(column + left, width);
        const from = reflect(row + top, height) * width + (flip ? width - 1 - seen : seen);
        for (let c = 0; c < channels; c++) {
          to[(row * width + column) * channels + c] = images[(index * height * width + from) * channels + c];
        }
      }
    }
  }

  // The batch of a step. Where images run out, others fill it at weight 0.
  batch(step) {
    const { batch_size: size, per_epoch: perEpoch, labels } = this.lesson;
    const epoch = Math.floor(step / perEpoch);
    if (epoch !== this.epoch) [this.epoch, this.shuffled] = [epoch, this.order(epoch)];
    const start = (step % perEpoch) * size;
    const real = Math.min(size, this.shuffled.length - start);
    const pixels = this.height * this.width * this.channels;
    const batch = { images: new Float32Array(size * pixels), labels: new Float32Array(size), weights: new Float32Array(size), real };
    for (let i = 0; i < size; i++) {
      const index = this.shuffled[i < real ? start + i : (i - real) % this.shuffled.length];
      this.place(index, epoch, batch.images.subarray(i * pixels, (i + 1) * pixels));
      batch.labels[i] = labels[index];
      batch.weights[i] = i < real ? 1 / real : 0;
    }
    return batch;
  }
}

// Networks in training.
class Training {
  // With initial weights, ready for the first step.
  static async begin(player, lesson, problem) {
    const training = new Training();
    const initial = Object.fromEntries(Object.entries(lesson.states).map(([name, packed]) => [name, unpack(packed)]));
    const states = {};
    for (const { program } of lesson.phases) {
      for (const [name, count] of player.description.programs[program].states) {
        states[name] ??= player.state(count, initial[name]);
      }
    }
    const batches = new Batches(lesson, [problem.height, problem.width, problem.channels]);
    const phases = [];
    for (const { program, inputs } of lesson.phases) {
      const values = Object.entries(inputs).map(([name, packed]) => [name, unpack(packed)]);
      phases.push({ session: await player.bind(program, states), values });
    }
    return Object.assign(training, { player, lesson, batches, phases, states, step: 0 });
  }

  // Frees all memory.
  destroy() {
    for (const buffer of Object.values(this.states)) buffer.destroy();
    for (const { session } of this.phases) session.destroy();
  }

  // The states that the programs of evaluation read.
  get evaluated() {
    return Object.fromEntries(Object.entries(this.lesson.evaluated).map(([name, own]) => [name, this.states[own]]));
  }

  // Takes a step; returns the means of its metrics over the batch.
  async take() {
    const { images, labels, weights, real } = this.batches.batch(this.step);
    for (const [name, values] of Object.entries({ images, labels, weights })) this.player.write(this.states[name], values);
    for (const { session, values } of this.phases) {
      const own = ([name, all]) => {
        const width = all.length / this.lesson.steps;
        return [name, all.subarray(this.step * width, (this.step + 1) * width)];
      };
      session.run(Object.fromEntries(values.map(own)));
    }
    this.step++;
    const { loss, correct, norm2 } = await this.phases.at(-1).session.outputs();
    const mean = (values, of = (v) => v) => values.subarray(0, real).reduce((sum, value) => sum + of(value), 0) / real;
    return { step: this.step, loss: mean(loss), accuracy: mean(correct), delta: mean(norm2, Math.sqrt) };
  }
}
