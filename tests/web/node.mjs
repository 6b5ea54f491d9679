// The programs of a page in Node.js, through Dawn: node node.mjs FOLDER-WITH-node_modules PAGE REFERENCE. Prints differences as JSON.
import { readFileSync } from "node:fs";
import { dawn } from "./dawn.mjs";

const [modules, path, values] = process.argv.slice(2);
const { gpu, name } = await dawn(modules);
const html = readFileSync(path, "utf8");
const data = html.match(/<script id="data" type="application\/json">(.*?)<\/script>/s)[1];
// Up to the part that needs a document: see SCRIPTS in src/web/mod.rs.
const scripts = html.match(/<script>\n"use strict";\n(.*?)\/\/ Pictures:/s)[1];
const measure = readFileSync(new URL("measure.js", import.meta.url), "utf8");
const page = new Function("document", `${scripts}\n${measure}\nreturn { page, Player, measure };`)({ getElementById: () => ({ textContent: data }) });
const player = await page.Player.open(gpu, page.page);
player.device.addEventListener("uncapturederror", ({ error }) => {
  console.error(error.message);
  process.exit(1);
});
const differences = await page.measure(player, JSON.parse(readFileSync(values)));
console.log(JSON.stringify({ adapter: name, differences }));
process.exit(0);
