// WebGPU without a browser: Dawn, from the npm package `webgpu`, which lies in the folder that is given.
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

// The WebGPU object, and what computes.
export async function dawn(modules) {
  const require = createRequire(pathToFileURL(join(resolve(modules), "package.json")));
  const { create, globals } = await import(pathToFileURL(require.resolve("webgpu")));
  Object.assign(globalThis, globals);
  const gpu = create([]);
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("Dawn finds no adapter; on Debian and Ubuntu, mesa-vulkan-drivers is one in software");
  return { gpu, name: adapter.info.description || adapter.info.device || adapter.info.vendor };
}

// As in src/web/page/player.js.
export function unpack({ base64 }) {
  const bytes = Buffer.from(base64, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}
