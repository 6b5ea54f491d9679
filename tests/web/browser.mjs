// A page in headless Chromium: node browser.mjs FOLDER-WITH-node_modules PAGE REFERENCE. Prints what was found as JSON; exits with 77 where
// there is no Chromium. CHROMIUM names it, else it is sought in PATH. With SCREENSHOTS naming a folder, pictures of the page
// are left there.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, path, values] = process.argv.slice(2);
const { chromium } = createRequire(pathToFileURL(join(resolve(modules), "package.json")))("playwright-core");
const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const places = process.env.PATH.split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
const executablePath = process.env.CHROMIUM || places.find(existsSync);
if (!executablePath) {
  console.log("there is no Chromium in PATH; CHROMIUM may name one");
  process.exit(77);
}
// SwiftShader comes with Chromium, so the driver is the same everywhere.
const args = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--no-sandbox"];
const browser = await chromium.launch({ executablePath, args });
const url = pathToFileURL(resolve(path)).href;
const errors = [];
const TIMEOUT = 300_000;

async function load(options = {}, before = undefined) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const tab = await context.newPage();
  tab.setDefaultTimeout(TIMEOUT);
  tab.on("pageerror", (error) => errors.push(error.message));
  tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  tab.on("request", (request) => /^(file|data|blob):/.test(request.url()) || errors.push(`asked for ${request.url()}`));
  if (before) await tab.addInitScript(before);
  await tab.goto(url);
  return tab;
}

// Waits until the programs are prepared.
const opened = (tab) => tab.evaluate(() => page.opened.then(() => true));

async function open(options, before) {
  const tab = await load(options, before);
  await opened(tab);
  return tab;
}

// Waits until everything that opens by itself is shown.
const shown = (tab) => tab.waitForFunction(() => document.querySelectorAll("#curve .dot").length >= RADII && document.querySelector(".class.first"));

async function screenshot(tab, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await tab.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

// Holds back pipelines until `release` is called.
function hold() {
  const make = GPUDevice.prototype.createComputePipelineAsync;
  const held = new Promise((resolve) => (window.release = resolve));
  GPUDevice.prototype.createComputePipelineAsync = function (descriptor) {
    return held.then(() => make.call(this, descriptor));
  };
}

// What a reader does while the programs are prepared is shown when they are.
const early = await load({}, hold);
await early.click("#pad");
await early.fill("#epsilon", "1");
await early.click("#thumb-3");
await early.evaluate(() => new Promise((resolve) => setTimeout(resolve, 2 * PAUSE)));
if (!(await early.textContent("#legend")).includes("being prepared")) errors.push("nothing says that the programs are being prepared");
if (await early.isVisible("#notice")) errors.push(`before the programs are prepared: ${await early.textContent("#notice")}`);
await early.evaluate(() => release());
await opened(early);
await shown(early);
const chosen = await early.evaluate(async () => {
  const own = await page.opened;
  return own.label === page.labels[3] && at("legend").textContent.includes(`“${page.classes[own.label]}”`) && at("images").textContent.includes("ε = 1.00");
});
if (!chosen) errors.push("what was chosen before the programs were prepared is not shown");
await early.context().close();

const tab = await open();
const reference = JSON.parse(readFileSync(values));
await tab.addScriptTag({ content: readFileSync(new URL("measure.js", import.meta.url), "utf8") });
const differences = await tab.evaluate(async (reference) => measure((await page.opened).player, reference), reference);
const adapter = await tab.evaluate(async () => {
  const { vendor, architecture, description } = (await page.opened).player.device.adapterInfo;
  return `Chromium, ${[vendor, architecture, description].filter(Boolean).join(" ")}`;
});
await shown(tab);
await screenshot(tab, "desktop-light");

// The network of the tab is attacked as it was when that was asked for, while its training goes on; then the file's comes back.
const attacked = await tab.evaluate(async () => {
  const own = await page.opened;
  const training = await Training.begin(own.player, page.lesson, page.problem);
  const name = "classifier.parameters";
  const read = async (buffer) => (await own.player.read([{ buffer, offset: 0, bytes: buffer.size }]))[0];
  const same = (a, b) => a.every((value, index) => value === b[index]);
  const trained = training.evaluated[name];
  const before = await read(trained);
  own.use(training.evaluated);
  await training.take();
  const taken = !same(await read(trained), before);
  const kept = same(await read(own.network[name]), before);
  own.use();
  return { taken, kept, back: same(await read(own.network[name]), unpack(page.states[name])) };
});
if (!(attacked.taken && attacked.kept && attacked.back)) errors.push(`weights under attack: ${JSON.stringify(attacked)}`);

// What was counted at a radius is not counted again for every point of the curve.
const passes = await tab.evaluate(async () => {
  const own = await page.opened;
  const instant = () => new Promise((resolve) => setTimeout(resolve, 1));
  const settled = async () => {
    while (own.curve.length <= RADII || own.measure.busy || own.show.busy) await instant();
  };
  await settled();
  let loads = 0;
  const load = own.set.load;
  own.set.load = function (...inputs) {
    loads++;
    return load.apply(this, inputs);
  };
  own.use();
  await settled();
  own.set.load = load;
  return loads / Math.ceil(page.labels.length / own.set.count);
});
if (passes !== 10) errors.push(`the set was attacked ${passes} times for the accuracies and the nine points of the curve`);

// An image of the reader's goes before work on the set that has begun, which takes its other steps after it.
const lag = await tab.evaluate(async () => {
  const own = await page.opened;
  const instant = () => new Promise((resolve) => setTimeout(resolve, 1));
  while (own.curve.length <= RADII || own.measure.busy || own.show.busy) await instant();
  // At another radius, because what was counted stays.
  own.epsilon /= 2;
  let steps = 0;
  const run = own.set.step.run;
  own.set.step.run = function (...inputs) {
    steps++;
    return run.apply(this, inputs);
  };
  const counted = own.measure();
  while (!steps) await instant();
  const before = steps;
  own.choose(own.imageAt(1).map((value) => 1 - value), null);
  while (own.show.busy) await instant();
  const meanwhile = steps - before;
  await counted;
  return { meanwhile, all: steps };
});
if (lag.meanwhile > 1 || lag.all - lag.meanwhile < 2) errors.push(`the reader's image waited for ${lag.meanwhile} steps of ${lag.all}`);

const none = await open({}, () => Object.defineProperty(navigator, "gpu", { value: undefined }));
const notices = { none: await none.textContent("#notice span") };
if (await none.isVisible("#app")) errors.push("the page shows controls without WebGPU");
await screenshot(none, "no-webgpu");

await tab.evaluate(async () => (await page.opened).player.device.destroy());
await tab.waitForFunction(() => document.querySelector("#notice span").textContent.includes("lost"));
if (!(await tab.isVisible("#notice button"))) errors.push("a lost device comes without a way to reload");
notices.lost = await tab.textContent("#notice span");
await screenshot(tab, "device-lost");
await Promise.all([tab.waitForNavigation(), tab.click("#notice button")]);
await tab.evaluate(() => page.opened.then(() => true));
notices.reload = await tab.isHidden("#notice");

if (process.env.SCREENSHOTS) {
  const phone = await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: "dark", hasTouch: true, isMobile: true });
  await shown(phone);
  await phone.click("#start");
  await phone.waitForSelector("#losses .line");
  await screenshot(phone, "phone-dark");
}
await browser.close();
console.log(JSON.stringify({ adapter, differences, notices, errors }));
