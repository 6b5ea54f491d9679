// Replays programs by WebGPU. A program is a list of dispatches over a few buffers (see src/web/describe.rs), so this is all that
// a browser needs. Everything is allocated when a program is bound; a run only encodes and submits.

// Bytes from one call's parameters to the next: WebGPU's default alignment of uniform buffers.
const PARAMS_STRIDE = 256;
// Floating-point operations of one submission. Systems stop submissions that take seconds.
const SUBMIT_FLOPS = 2e10;

// Numbers of a page as Float32Array. Bytes stand for their 255th part.
function unpack({ kind, base64 }) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return kind === "u8" ? Float32Array.from(bytes, (byte) => byte / 255) : new Float32Array(bytes.buffer);
}

class Player {
  constructor(device, description) {
    this.device = device;
    this.description = description;
    this.pipelines = [];
    this.modules = [];
    this.layouts = [];
  }

  // A player on an adapter of `gpu` with nothing but WebGPU's default limits; null where there is none.
  static async open(gpu, description) {
    const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" });
    return adapter ? new Player(await adapter.requestDevice(), description) : null;
  }

  // A buffer of `count` values, zeros or those that are given.
  state(count, values) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = this.device.createBuffer({ size: 4 * count, usage });
    if (values) this.device.queue.writeBuffer(buffer, 0, values);
    return buffer;
  }

  write(buffer, values) {
    this.device.queue.writeBuffer(buffer, 0, values);
  }

  // Copies a buffer to another one of its size.
  copy(from, to) {
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, to.size);
    this.device.queue.submit([encoder.finish()]);
  }

  // The values of pieces of buffers, in their order.
  async read(places) {
    const size = places.reduce((sum, { bytes }) => sum + bytes, 0);
    const staging = this.device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const encoder = this.device.createCommandEncoder();
    let at = 0;
    for (const { buffer, offset, bytes } of places) {
      encoder.copyBufferToBuffer(buffer, offset, staging, at, bytes);
      at += bytes;
    }
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const values = new Float32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    at = 0;
    return places.map(({ bytes }) => values.subarray(at / 4, (at += bytes) / 4));
  }

  // One uniform buffer, then storage buffers that can be written. Not "auto", which leaves out bindings that a shader does not use.
  layout(tensors) {
    return (this.layouts[tensors] ??= this.device.createBindGroupLayout({
      entries: Array.from({ length: tensors + 1 }, (_, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: binding === 0 ? "uniform" : "storage" },
      })),
    }));
  }

  pipeline(index) {
    const { kernel, shader, constants, tensors } = this.description.pipelines[index];
    this.modules[shader] ??= this.device.createShaderModule({ label: kernel, code: this.description.shaders[shader] });
    return (this.pipelines[index] ??= this.device.createComputePipelineAsync({
      label: kernel,
      layout: this.device.createPipelineLayout({ bindGroupLayouts: [this.layout(tensors)] }),
      compute: { module: this.modules[shader], entryPoint: "main", constants },
    }));
  }

  // A program on memory of its own and the states that it names, which are buffers by name.
  async bind(name, states) {
    const program = this.description.programs[name];
    const pipelines = await Promise.all(program.calls.map((call) => this.pipeline(call.pipeline)));
    const missing = program.states.find(([state]) => !states[state]);
    if (missing) throw new Error(`${name} needs the state ${missing[0]}`);
    const buffers = [
      ...program.arenas.map((bytes) => this.state(bytes / 4)),
      ...program.states.map(([state]) => states[state]),
      this.state(program.spare / 4),
    ];
    for (const [{ buffer, offset, bytes }, value] of program.constants) {
      this.device.queue.writeBuffer(buffers[buffer], offset, new Float32Array(bytes / 4).fill(value));
    }
    const params = this.device.createBuffer({
      size: PARAMS_STRIDE * Math.max(program.calls.length, 1),
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    const calls = program.calls.map((call, index) => {
      this.device.queue.writeBuffer(params, index * PARAMS_STRIDE, new Uint32Array(call.params));
      const uniform = { buffer: params, offset: index * PARAMS_STRIDE, size: Math.ceil(call.params.length / 4) * 16 };
      const tensors = call.tensors.map(({ buffer, offset, bytes }) => ({ buffer: buffers[buffer], offset, size: bytes }));
      const entries = [uniform, ...tensors].map((resource, binding) => ({ binding, resource }));
      const group = this.device.createBindGroup({ layout: this.layout(tensors.length), entries });
      return { pipeline: pipelines[index], group, grid: call.grid, flops: call.flops };
    });
    const shared = new Set(program.states.map(([state]) => states[state]));
    return new Session(this, program, buffers, calls, [params, ...buffers.filter((buffer) => !shared.has(buffer))]);
  }
}

// A bound program. `own` are the buffers that no other one has.
class Session {
  constructor(player, program, buffers, calls, own) {
    Object.assign(this, { player, program, buffers, calls, own });
  }

  // Frees its memory, but not the states.
  destroy() {
    for (const buffer of this.own) buffer.destroy();
  }

  // Writes the inputs and submits a run; nothing is waited for. Inputs share memory with what is computed, so each run needs all.
  run(inputs = {}) {
    const { device } = this.player;
    for (const [name, { buffer, offset }] of Object.entries(this.program.inputs)) {
      device.queue.writeBuffer(this.buffers[buffer], offset, new Float32Array(inputs[name]));
    }
    for (let start = 0, end = 0; start < this.calls.length; start = end) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (let flops = 0; end < this.calls.length && (end === start || flops < SUBMIT_FLOPS); end++) {
        const { pipeline, group, grid } = this.calls[end];
        flops += this.calls[end].flops;
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...grid);
      }
      pass.end();
      device.queue.submit([encoder.finish()]);
    }
  }

  // The outputs of the last run by name.
  async outputs() {
    const named = Object.entries(this.program.outputs);
    const values = await this.player.read(named.map(([, place]) => ({ ...place, buffer: this.buffers[place.buffer] })));
    return Object.fromEntries(named.map(([name], index) => [name, values[index]]));
  }
}
