// Visits every page of a registry in Chromium, by its DevTools protocol over a pipe, and prints as JSON what is wrong.
// node browser.js CHROMIUM PROFILE URL AXE [SCREENSHOTS]
"use strict";

const fs = require("fs");
const { spawn } = require("child_process");

const [program, profile, root, axeFile, screenshots] = process.argv.slice(2);
const axe = fs.readFileSync(axeFile, "utf8");
const origin = new URL(root).origin;

const chromium = spawn(program, [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
  "--remote-debugging-pipe", `--user-data-dir=${profile}`, "about:blank",
], { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] });
let said = "";
chromium.stderr.on("data", (data) => { said += data; });
chromium.on("exit", (code) => {
  if (!ending) {
    console.error(`Chromium ended with ${code}: ${said}`);
    process.exit(1);
  }
});

let ending = false;
let lastId = 0;
let rest = "";
const waiting = new Map();
const listeners = [];

chromium.stdio[4].setEncoding("utf8").on("data", (data) => {
  const parts = (rest + data).split("\0");
  rest = parts.pop();
  for (const part of parts) {
    const message = JSON.parse(part);
    if (message.id) {
      const { resolve, reject, method } = waiting.get(message.id);
      waiting.delete(message.id);
      message.error ? reject(new Error(`${method}: ${message.error.message}`)) : resolve(message.result);
    } else {
      for (const listener of [...listeners]) listener(message);
    }
  }
});

function send(method, params = {}, sessionId = undefined) {
  const id = ++lastId;
  chromium.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject, method }));
}

const problems = [];
const counts = { pages: 0, visits: 0, requests: 0, links: 0, rules: 0 };

async function main() {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const tab = (method, params) => send(method, params, sessionId);
  for (const domain of ["Page", "Network", "Runtime", "Log"]) await tab(`${domain}.enable`);
  await send("Browser.grantPermissions", {
    origin, permissions: ["clipboardReadWrite", "clipboardSanitizedWrite"],
  });
  let at = "";
  let onLoad = null;
  listeners.push(({ method, params }) => {
    if (method === "Network.requestWillBeSent") {
      counts.requests += 1;
      const { url } = params.request;
      if (!url.startsWith(`${origin}/`) && !url.startsWith("data:")) problems.push(`${at}: a request to ${url}`);
    } else if (method === "Network.responseReceived") {
      if (params.response.status >= 400 && !params.response.url.endsWith("/favicon.ico")) problems.push(`${at}: ${params.response.url} is answered ${params.response.status}`);
    } else if (method === "Log.entryAdded" && !params.entry.url?.endsWith("/favicon.ico")) {
      problems.push(`${at}: ${params.entry.source}: ${params.entry.text}`);
    } else if (method === "Runtime.exceptionThrown") {
      problems.push(`${at}: ${params.exceptionDetails.text}`);
    } else if (method === "Runtime.consoleAPICalled") {
      problems.push(`${at}: the console says ${JSON.stringify(params.args)}`);
    } else if (method === "Page.javascriptDialogOpening") {
      problems.push(`${at}: a dialog says ${params.message}`);
      tab("Page.handleJavaScriptDialog", { accept: true });
    } else if (method === "Page.loadEventFired" && onLoad) {
      onLoad();
    }
  });
  const visit = async (url) => {
    at = url.slice(origin.length);
    const loaded = new Promise((resolve) => { onLoad = resolve; });
    const { errorText } = await tab("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await loaded;
    counts.visits += 1;
  };
  const run = async (expression) => {
    const { result, exceptionDetails } = await tab("Runtime.evaluate", {
      expression, awaitPromise: true, returnByValue: true, userGesture: true,
    });
    if (exceptionDetails) throw new Error(`${at}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  };
  const screen = (width, scheme) => Promise.all([
    tab("Emulation.setDeviceMetricsOverride", { width, height: 800, deviceScaleFactor: 1, mobile: width < 500 }),
    tab("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] }),
  ]);
  const shoot = async (name) => {
    if (!screenshots) return;
    const { data } = await tab("Page.captureScreenshot", { captureBeyondViewport: true });
    fs.writeFileSync(`${screenshots}/${name}.png`, Buffer.from(data, "base64"));
  };

  // Every page that a link leads to, from the first one.
  const pages = [new URL("index.html", root).href];
  const files = new Set();
  const targets = [];
  for (const [width, scheme] of [[1280, "light"], [360, "dark"], [360, "light"], [1280, "dark"]]) {
    await screen(width, scheme);
    for (let i = 0; i < pages.length; i += 1) {
      await visit(pages[i]);
      if (width === 1280 && scheme === "light") {
        const found = await run(`[...document.querySelectorAll("a[href], link[href]")].map((a) => [a.href, a.getAttribute("rel")])`);
        for (const [href] of found) {
          counts.links += 1;
          const [file, fragment] = href.split("#");
          if (!href.startsWith(`${origin}/`)) continue;
          if (/\.html$/.test(file) && !pages.includes(file)) pages.push(file);
          if (!/\.html$/.test(file)) files.add(file);
          if (fragment) targets.push([at, file, decodeURIComponent(fragment)]);
        }
        const ids = await run(`[...document.querySelectorAll("[id]")].map((e) => e.id)`);
        for (const id of ids.filter((id, n) => ids.indexOf(id) !== n)) problems.push(`${at}: the id ${id} is there twice`);
        known.set(pages[i], new Set(ids));
      }
      await shoot(`${at.replace(/[^a-z0-9.]+/gi, "_")}-${width}-${scheme}`);
      const wide = await run("document.documentElement.scrollWidth - document.documentElement.clientWidth");
      if (wide > 0) problems.push(`${at}: at ${width} pixels it is ${wide} pixels too wide`);
      // Of each width and each scheme once.
      if ((width === 1280) !== (scheme === "light")) continue;
      await run(`${axe};0`);
      const found = await run(`axe.run(document, { resultTypes: ["violations"] }).then((r) => ({
        rules: r.passes.length + r.violations.length,
        violations: r.violations.map((v) => [v.impact, v.id, v.nodes.map((n) => n.target.join(" ")).slice(0, 3)]),
      }))`);
      counts.rules = Math.max(counts.rules, found.rules);
      for (const [impact, id, nodes] of found.violations) {
        if (["serious", "critical"].includes(impact)) problems.push(`${at}: axe, ${width} ${scheme}: ${impact} ${id}: ${nodes.join(", ")}`);
      }
    }
  }
  counts.pages = pages.length;
  for (const [from, file, fragment] of targets) {
    if (known.has(file) && !known.get(file).has(fragment)) problems.push(`${from}: ${file} has no #${fragment}`);
  }
  for (const file of files) {
    const answer = await fetch(file);
    if (answer.status !== 200) problems.push(`${file} is answered ${answer.status}`);
    await answer.body?.cancel();
  }
  for (const missing of ["/nowhere.html", "/providers/", "/providers/acme/none/index.html"]) {
    const answer = await fetch(origin + missing);
    if (answer.status !== 404) problems.push(`${missing} is answered ${answer.status}`);
  }

  // Copying, searching, and both without scripts.
  const provider = pages.find((page) => /\/providers\/[^/]+\/[^/]+\/index\.html$/.test(page));
  await screen(1280, "light");
  await visit(provider);
  const wanted = await run(`document.querySelector("pre code").textContent.replace(/\\n$/, "")`);
  await run(`document.querySelector("button.tf-copy").click()`);
  await run(`new Promise((resolve) => {
    const button = document.querySelector("button.tf-copy");
    const look = () => (button.textContent === "Copy" ? requestAnimationFrame(look) : resolve());
    look();
  })`);
  const copied = await run("navigator.clipboard.readText()");
  const isHcl = wanted.includes("required_providers") && copied === wanted;
  if (!isHcl) problems.push(`the copy button copies ${JSON.stringify(copied)}, not ${JSON.stringify(wanted)}`);
  const search = (text) => run(`(() => {
    const input = document.querySelector("input[type=search]");
    input.focus();
    input.value = ${JSON.stringify(text)};
    input.dispatchEvent(new Event("input", { bubbles: true }));
    const rows = [...document.querySelectorAll("tbody tr")];
    return [rows.length, rows.filter((row) => row.offsetParent !== null).length,
      document.querySelector("[role=status]").textContent, input.offsetParent !== null];
  })()`);
  await visit(pages[0]);
  const found = [await search(""), await search("no such provider"), await search("ACME sam")];
  const expected = [[2, 2, "", true], [2, 0, "0 of 2", true], [2, 1, "1 of 2", true]];
  if (JSON.stringify(found) !== JSON.stringify(expected)) problems.push(`the search finds ${JSON.stringify(found)}`);
  await tab("Emulation.setScriptExecutionDisabled", { value: true });
  await visit(pages[0]);
  const { root: tree } = await tab("DOM.getDocument", { depth: -1 });
  const { nodeIds } = await tab("DOM.querySelectorAll", { nodeId: tree.nodeId, selector: "tbody tr a" });
  const { nodeId } = await tab("DOM.querySelector", { nodeId: tree.nodeId, selector: ".tf-filter[hidden]" });
  if (nodeIds.length !== 2 || !nodeId) problems.push("without scripts the providers, or not only they, are shown");
}

const known = new Map();
main().then(() => 0, (error) => {
  problems.push(`${error.stack}`);
  return 1;
}).then(async () => {
  process.stdout.write(`${JSON.stringify({ counts, problems }, null, 2)}\n`);
  ending = true;
  await send("Browser.close").catch(() => {});
  process.exitCode = 0;
});
