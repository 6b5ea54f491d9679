// Runs the calls that the kernels' tests have recorded (tests/common/record.rs) through Dawn, WebGPU as Chromium has it, in every
// form that can exist in browsers, and compares the results with those of the CPU path within the kernels' own tolerances.
//
// node tests/web/kernels.mjs FOLDER-OF-CALLS FOLDER-WITH-node_modules
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { dawn, unpack } from "./dawn.mjs";

const [folder, modules] = process.argv.slice(2);
const { gpu, name } = await dawn(modules);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice();
const SMALLEST_NORMAL = 1.1754943508222875e-38;

const layouts = [];
const layout = (tensors) => (layouts[tensors] ??= device.createBindGroupLayout({
  entries: Array.from({ length: tensors + 1 }, (_, binding) => ({
    binding, visibility: GPUShaderStage.COMPUTE, buffer: { type: binding === 0 ? "uniform" : "storage" },
  })),
}));

const pipelines = new Map();
async function pipeline({ name, source, constants }, tensors) {
  const key = source + JSON.stringify(constants);
  if (!pipelines.has(key)) {
    const module = device.createShaderModule({ label: name, code: source });
    pipelines.set(key, device.createComputePipelineAsync({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout(tensors)] }),
      compute: { module, entryPoint: "main", constants },
    }));
  }
  return pipelines.get(key);
}

function buffer(values, usage) {
  const size = Math.max(16, Math.ceil(values.byteLength / 16) * 16);
  const made = device.createBuffer({ size, usage: usage | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
  device.queue.writeBuffer(made, 0, values);
  return made;
}

async function run(form, { params, reads, before }) {
  const tensors = [...reads, ...before].map((values) => buffer(values, GPUBufferUsage.STORAGE));
  const uniform = buffer(new Uint32Array(params), GPUBufferUsage.UNIFORM);
  const made = await pipeline(form, tensors.length);
  const size = (values) => Math.max(4, values.byteLength);
  const entries = [{ binding: 0, resource: { buffer: uniform } }, ...tensors.map((one, index) => ({
    binding: index + 1, resource: { buffer: one, size: Math.max(16, size([...reads, ...before][index])) },
  }))];
  const group = device.createBindGroup({ layout: layout(tensors.length), entries });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(made);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...form.grid);
  pass.end();
  const results = before.map((values, index) => {
    const staging = device.createBuffer({ size: size(values), usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    encoder.copyBufferToBuffer(tensors[reads.length + index], 0, staging, 0, size(values));
    return staging;
  });
  device.queue.submit([encoder.finish()]);
  const values = [];
  for (const staging of results) {
    await staging.mapAsync(GPUMapMode.READ);
    values.push(new Float32Array(staging.getMappedRange().slice(0)));
    staging.destroy();
  }
  [uniform, ...tensors].forEach((one) => one.destroy());
  return values;
}

// The first value that differs by more than it may, as in tests/common/mod.rs; the largest difference in units of what is allowed.
function compare(actual, expected, slack, { absolute, relative }) {
  const largest = expected.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i], expected[i]];
    if (Object.is(a, e) || a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    const allowed = absolute * largest + SMALLEST_NORMAL + relative * Math.abs(e) + (slack[i] ?? 0);
    if (!Number.isFinite(e) || !(Math.abs(a - e) <= allowed)) return { wrong: `value ${i} is ${a}, but should be ${e}` };
    worst = Math.max(worst, Math.abs(a - e) / allowed);
  }
  return { worst };
}

const forms = JSON.parse(readFileSync(join(folder, "forms.json")));
const seen = new Map(forms.map((form) => [form, { calls: 0, worst: 0 }]));
const complaints = [];
const complain = (line) => (complaints.push(line), console.error(line));
let done = 0;
const files = readdirSync(folder).filter((file) => file.startsWith("call-")).sort();
for (const file of files) {
  if (done++ % 100 === 0) console.error(`portability: ${done - 1} of ${files.length} calls`);
  const call = JSON.parse(readFileSync(join(folder, file)));
  for (const key of ["reads", "before", "expected", "slack"]) call[key] = call[key].map(unpack);
  for (const form of call.forms) {
    device.pushErrorScope("validation");
    const results = await run(form, call).catch((error) => error);
    const error = await device.popErrorScope();
    if (results instanceof Error || error) {
      complain(`${form.name} ${JSON.stringify(form.constants)}, ${file}: ${(results.message ?? error.message).split("\n").slice(0, 4).join(" ")}`);
      continue;
    }
    const row = seen.get(form.name);
    row.calls++;
    results.forEach((values, index) => {
      const { wrong, worst } = compare(values, call.expected[index], call.slack[index] ?? [], call);
      if (wrong) complain(`${form.name} ${JSON.stringify(form.constants)}, ${file}: ${wrong}`);
      else row.worst = Math.max(row.worst, worst);
    });
  }
}
const unseen = [...seen].filter(([, { calls }]) => calls === 0).map(([form]) => form);
if (unseen.length) complain(`no call was recorded for ${unseen.join("; ")}`);
const calls = [...seen.values()].reduce((sum, row) => sum + row.calls, 0);
const [closest, { worst }] = [...seen].reduce((most, row) => (row[1].worst > most[1].worst ? row : most));
console.log(`portability: ${calls} calls of ${seen.size} forms through Dawn on ${name}, ${pipelines.size} pipelines; closest to its tolerance: ${closest}, at ${worst.toFixed(2)} of it`);
if (complaints.length) console.log(`${complaints.length} complaints`);
process.exit(complaints.length ? 1 : 0);
