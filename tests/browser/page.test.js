// The built-in page in a real browser: two people chat, a script is edited under them, and nobody reloads.

import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { serve, shippedScripts, temporaryFolder } from "../clients/server.js";
import { browser, picture } from "./page.js";

const open = browser();
const dist = fileURLToPath(new URL("./node_modules/socket.io-client/dist", import.meta.url));

/** The line of the chat with this text. */
const line = (page, text) => page.locator("#messages li", { hasText: text }).first();
const seen = (page, text) => line(page, text).waitFor();
const connected = (page, namespace) => page.getByText(`connected to ${namespace}`, { exact: true }).waitFor();

async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

async function setName(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Set" }).click();
}

/** A mark that is gone when the page is loaded again. */
const mark = (page) => page.evaluate(() => (window.marked = true));
const marked = (page) => page.evaluate(() => window.marked === true);

async function twoPeople(t, server, settings) {
  const ada = await open(t, server.url, settings);
  await connected(ada, "/chat");
  const bob = await open(t, server.url, settings);
  await connected(bob, "/chat");
  await setName(ada, "Ada");
  await setName(bob, "Bob");
  await seen(ada, "is now Bob");
  return [ada, bob];
}

test("two people chat, with names", async (t) => {
  const server = await serve(t, shippedScripts);
  const [ada, bob] = await twoPeople(t, server);
  await seen(ada, "Hello! Welcome to the server.");
  await say(ada, "Good morning, who is there?");
  await say(bob, "Only me <b>so far</b> & you");
  for (const page of [ada, bob]) {
    await seen(page, "Good morning, who is there?");
    await seen(page, "Only me <b>so far</b> & you");
    assert.deepEqual((await page.locator("#people li").allTextContents()).map((text) => text.replace(" you", "")).sort(), ["Ada", "Bob"]);
  }
  assert.equal(await line(bob, "Good morning").locator("b").textContent(), "Ada");
  assert.match(await line(ada, "Good morning").getAttribute("class"), /own/);
  await picture(ada, "chat");
  await picture(await phone(t, server), "chat-phone");

  await bob.close();
  await seen(ada, "Bob left");
});

async function phone(t, server) {
  const page = await open(t, server.url, { viewport: { width: 390, height: 780 }, colorScheme: "dark" });
  await connected(page, "/chat");
  await setName(page, "Eve");
  await seen(page, "is now Eve");
  await say(page, "Hello from my phone");
  await seen(page, "Hello from my phone");
  return page;
}

test("a name that is taken is refused, with the reason beside the field", async (t) => {
  const [ada, bob] = await twoPeople(t, await serve(t, shippedScripts));
  await setName(bob, "Ada");
  await bob.locator("#name-error:not(:empty)").waitFor();
  await say(bob, "still Bob");
  await seen(ada, "still Bob");
  assert.equal(await line(ada, "still Bob").locator("b").textContent(), "Bob");
  await picture(bob, "name-taken");
});

test("a live edit is seen in both tabs, without a reload", async (t) => {
  const server = await serve(t, shippedScripts);
  const people = await twoPeople(t, server, { colorScheme: "dark" });
  for (const page of people) await mark(page);
  await say(people[0], "before the edit");
  await seen(people[1], "before the edit");

  await server.reload("chat.rhai", (text) =>
    text.replace(/io\.emit\("chat message", *(\w+)/, 'io.emit("applause", 3, #{ loud: true });\n$1 = $1.to_upper();\n$&'));
  await say(people[1], "after the edit");
  for (const page of people) {
    await seen(page, "AFTER THE EDIT");
    await seen(page, 'event applause [3,{"loud":true}]');
    assert.equal(await line(page, "AFTER THE EDIT").locator("b").textContent(), "Bob");
    assert.ok(await marked(page), "the page was loaded again");
    assert.equal(await page.locator("#messages li", { hasText: "disconnected" }).count(), 0);
  }
  await picture(people[0], "live-edit-dark");
});

test("the page comes back by itself when the server does, with its name", async (t) => {
  const server = await serve(t, shippedScripts);
  const page = await open(t, server.url);
  await connected(page, "/chat");
  await setName(page, "Ada");
  await seen(page, "is now Ada");
  await mark(page);
  await server.stop();
  await seen(page, "disconnected");
  await page.getByText("connection lost, trying again").waitFor();
  await serve(t, shippedScripts, ["--port", new URL(server.url).port]);
  await connected(page, "/chat");
  await page.locator("#people li", { hasText: "Ada you" }).waitFor();
  assert.ok(await marked(page));
});

test("a page that is loaded again shows the last messages, each once, and has the same name", async (t) => {
  const [ada, bob] = await twoPeople(t, await serve(t, shippedScripts));
  await say(ada, "before the reload");
  await seen(bob, "before the reload");
  await ada.reload();
  await ada.locator("#people li", { hasText: "Ada you" }).waitFor();
  await say(bob, "after the reload");
  await seen(ada, "after the reload");
  assert.deepEqual(await ada.locator("#messages .message .body").allTextContents(), ["before the reload", "after the reload"]);
  assert.match(await line(ada, "before the reload").getAttribute("class"), /own/);
  assert.equal(await line(ada, "before the reload").locator("b").textContent(), "Ada");
});

test("one script alone is a chat on `/`", async (t) => {
  const server = await serve(t, { "main.rhai": await readFile(join(shippedScripts, "chat.rhai"), "utf8") });
  const page = await open(t, server.url);
  await connected(page, "/");
  await say(page, "alone");
  await seen(page, "alone");
});

test("echo, by its address and by the link", async (t) => {
  const server = await serve(t, shippedScripts);
  const page = await open(t, `${server.url}/echo`);
  await connected(page, "/echo");
  assert.equal(await page.getByRole("link", { name: "Echo" }).getAttribute("aria-current"), "page");
  await page.getByRole("textbox").first().waitFor();
  await page.locator("#arguments").fill('"ünï", -1.5, [null, { "a": true }]');
  await page.getByLabel("add 8 random bytes").check();
  await page.locator("#send").getByRole("button", { name: "Send" }).click();
  for (const kind of ["sent", "back", "ack"]) {
    await page.locator(`#answers .${kind}`, { hasText: '["ünï",-1.5,[null,{"a":true}],"<8 bytes: ' }).waitFor();
  }
  const shown = await page.locator("#answers code").allTextContents();
  assert.equal(new Set(shown).size, 1, `what came back differs from what was sent: ${shown}`);

  await page.locator("#arguments").fill("not json");
  await page.keyboard.press("Control+Enter");
  await page.getByText("not JSON: ").waitFor();
  await picture(page, "echo");

  await page.getByRole("link", { name: "Chat" }).click();
  await connected(page, "/chat");
  assert.equal(new URL(page.url()).pathname, "/");
  await page.goBack();
  await page.locator("#arguments").waitFor();
});

test("`--public` serves another folder in place of the page", async (t) => {
  const folder = await temporaryFolder({ "index.html": "<title>mine</title>my own page", "more/about.txt": "about" });
  t.after(() => rm(folder, { recursive: true }));
  const server = await serve(t, shippedScripts, ["--public", folder]);
  const page = await open(t, server.url);
  assert.equal(await page.title(), "mine");
  assert.equal(await (await fetch(`${server.url}/more/about.txt`)).text(), "about");
  assert.equal((await fetch(`${server.url}/main.rhai`)).status, 404);
});

test("`--client-dist` serves the official client, and a page uses it", async (t) => {
  const folder = await temporaryFolder({
    "index.html": `<script src="/socket.io/socket.io.js"></script>
      <script>
        const socket = io("/echo");
        socket.on("connect", () => socket.emit("echo", "official", new Uint8Array([1, 2]), (text, bytes) => {
          document.body.textContent = text + " " + new Uint8Array(bytes).join();
        }));
      </script>`,
  });
  t.after(() => rm(folder, { recursive: true }));
  const server = await serve(t, shippedScripts, ["--public", folder, "--client-dist", dist]);
  const page = await open(t, server.url);
  await page.getByText("official 1,2").waitFor();
});
