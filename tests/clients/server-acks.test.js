// Acks from the server's side: a script asks one client or many, and a closure gets what they answer.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve } from "./server.js";

/** So long a test lets a script wait for an answer that must come, and for one that never comes. */
const PATIENT_MS = 60_000;
const HASTY_MS = 30;
/** Enough for who answers, and little enough to wait for who does not. */
const LONG_ENOUGH_MS = 1000;
/** The packet type, in the protocol. */
const ACK = 3;

onEachTransport("acks from clients", ({ connect }) => {
  async function people(t, count) {
    const server = await serve(t, here("scripts"));
    const all = [];
    for (let n = 0; n < count; n++) {
      const client = await connect(t, server.url, "/server-acks");
      client.server = server;
      all.push(client);
    }
    return all;
  }

  /** Lets a client answer every question by `answer(question)`, an array. */
  function answering(client, answer) {
    client.socket.on("question", (question, ack) => ack(...answer(question)));
    return client;
  }

  /** The next question a client gets, with its ack. */
  const question = (client) => new Promise((resolve) => client.socket.once("question", (text, ack) => resolve({ text, ack })));

  test("the closure gets the answer", async (t) => {
    const [ada] = await people(t, 1);
    answering(ada, (text) => [`yes, ${text}`]);
    ada.emit("ask", "really");
    assert.deepEqual(await ada.next("answered"), ["yes, really"]);
  });

  for (const value of [null, 0, false, "", [1, [2]], { a: { b: null } }, Buffer.from([1, 2, 255])]) {
    test(`an answer is any value: ${JSON.stringify(value)}`, async (t) => {
      const [ada] = await people(t, 1);
      answering(ada, () => [value]);
      ada.emit("ask", "what");
      assert.deepEqual(await ada.next("answered"), [value]);
    });
  }

  test("a closure takes fewer answers than there are, or more", async (t) => {
    const [ada] = await people(t, 1);
    ada.socket.on("question", (...args) => args.at(-1)("one", 2));
    ada.emit("ask", "first only");
    assert.deepEqual(await ada.next("answered"), ["one"]);
    ada.emit("ask, no parameter");
    assert.deepEqual(await ada.next("answered"), ["without"]);
    ada.emit("ask, three parameters");
    assert.deepEqual(await ada.next("answered"), ["one", 2, null]);
  });

  test("an answer without a value", async (t) => {
    const [ada] = await people(t, 1);
    answering(ada, () => []);
    ada.emit("ask", "nothing");
    assert.deepEqual(await ada.next("answered"), [null]);
  });

  test("each answer reaches the closure of its own question", async (t) => {
    const [ada] = await people(t, 1);
    const acks = {};
    ada.socket.on("question", (text, ack) => (acks[text] = ack));
    await ada.ask("ask twice");
    acks.two("second");
    acks.one("first");
    assert.deepEqual(await ada.next("answered"), ["two", "second"]);
    assert.deepEqual(await ada.next("answered"), ["one", "first"]);
  });

  test("a closure asks the next question", async (t) => {
    const [ada] = await people(t, 1);
    answering(ada, (text) => [`<${text}>`]);
    ada.emit("ask in turn");
    assert.deepEqual(await ada.next("answered"), ["<first>", "<after <first>>"]);
  });

  test("only the first answer counts", async (t) => {
    const [ada] = await people(t, 1);
    const asked = new Promise((resolve) => ada.manager.on("packet", (packet) => packet.data?.[0] === "question" && resolve(packet)));
    answering(ada, () => ["first"]);
    ada.emit("ask", "once");
    // The official client answers once by itself; this is what another would send.
    ada.socket.packet({ type: ACK, id: (await asked).id, data: ["second"] });
    assert.deepEqual(await ada.next("answered"), ["first"]);
    assert.deepEqual(await ada.ask("calls"), [1]);
    assert.ok(!ada.untaken.includes("answered"));
  });

  test("without a time limit the closure waits", async (t) => {
    const [ada] = await people(t, 1);
    const asked = question(ada);
    ada.emit("ask", "take your time");
    const { ack } = await asked;
    for (let n = 0; n < 20; n++) assert.deepEqual(await ada.ask("calls"), [0]);
    ack("at last");
    assert.deepEqual(await ada.next("answered"), ["at last"]);
  });

  test("in time, there is no error", async (t) => {
    const [ada] = await people(t, 1);
    answering(ada, (text) => [text, "more"]);
    ada.emit("ask in time", PATIENT_MS);
    assert.deepEqual(await ada.next("answered"), [null, "quick"]);
  });

  test("out of time, there is an error, and the late answer is nobody's", async (t) => {
    const [ada] = await people(t, 1);
    const asked = question(ada);
    ada.emit("ask in time", HASTY_MS);
    const { ack } = await asked;
    const [err, answer] = await ada.next("answered");
    assert.match(err, /operation has timed out/);
    assert.equal(answer ?? null, null);
    ack("too late");
    assert.deepEqual(await ada.ask("calls"), [1]);
    assert.ok(!ada.untaken.includes("answered"));
  });

  test("everyone is asked, and all answers come together", async (t) => {
    const all = await people(t, 3);
    all.forEach((client, n) => answering(client, (text) => [`${text} ${n}`]));
    all[0].emit("ask everyone", PATIENT_MS);
    const [err, answers] = await all[0].next("answered");
    assert.equal(err, null);
    assert.deepEqual(answers.sort(), ["all 0", "all 1", "all 2"]);
  });

  test("a silent client makes it an error, with the answers there are", async (t) => {
    const all = await people(t, 3);
    for (const client of all.slice(1)) answering(client, () => ["here"]);
    all[0].emit("ask everyone", LONG_ENOUGH_MS);
    const [err, answers] = await all[0].next("answered");
    assert.match(err, /operation has timed out/);
    assert.deepEqual(answers, ["here", "here"]);
  });

  test("a room is asked", async (t) => {
    const all = await people(t, 3);
    all.forEach((client, n) => answering(client, () => [n]));
    for (const client of all.slice(1)) await client.ask("join", "red");
    all[0].emit("ask the room", "red", PATIENT_MS);
    const [err, answers] = await all[0].next("answered");
    assert.deepEqual([err, answers.sort()], [null, [1, 2]]);
  });

  test("a room without anyone answers at once", async (t) => {
    const [ada] = await people(t, 1);
    ada.emit("ask the room", "nobody is here", PATIENT_MS);
    assert.deepEqual(await ada.next("answered"), [null, []]);
  });

  test("the others are asked", async (t) => {
    const all = await people(t, 3);
    all.forEach((client, n) => answering(client, () => [n]));
    all[0].emit("ask the others", PATIENT_MS);
    const [err, answers] = await all[0].next("answered");
    assert.deepEqual([err, answers.sort()], [null, [1, 2]]);
  });

  test("a broadcast that asks without a time limit is an error of the script", async (t) => {
    const [ada] = await people(t, 1);
    let answered = false;
    ada.emit("ask everyone for ever", () => (answered = true));
    await ada.server.printed(/timeout/);
    assert.deepEqual(await ada.ask("done"), [true]);
    assert.equal(answered, false);
  });

  test("the answer of another is heard by who asked, among the own variables", async (t) => {
    const [ada, bob] = await people(t, 2);
    answering(bob, (text) => [`bob, ${text}`]);
    ada.emit("ask another", bob.socket.id);
    assert.deepEqual(await ada.next("answered"), ["bob, from another", 1]);
    ada.emit("ask another", bob.socket.id);
    assert.deepEqual(await ada.next("answered"), ["bob, from another", 2]);
    assert.deepEqual([await ada.ask("calls"), await bob.ask("calls")], [[2], [0]]);
  });

  test("who asked another and left is not called any more", async (t) => {
    const [ada, bob] = await people(t, 2);
    const asked = question(bob);
    ada.emit("ask another", bob.socket.id);
    const { ack } = await asked;
    await ada.leave();
    await bob.next("left");
    ack("nobody hears this");
    assert.deepEqual(await bob.ask("done"), [true]);
    assert.doesNotMatch(bob.server.output, /error/);
  });

  test("who leaves with a question open gives an error to a closure with a time limit", async (t) => {
    const [ada, bob] = await people(t, 2);
    const asked = question(ada);
    ada.emit("ask in time", PATIENT_MS);
    await asked;
    await ada.leave();
    const [[told]] = await bob.next("left");
    assert.match(told, /socket has been disconnected/);
  });

  test("who leaves with a question open gives nothing to a closure without one", async (t) => {
    const [ada, bob] = await people(t, 2);
    const asked = question(ada);
    ada.emit("ask", "will you stay");
    await asked;
    await ada.leave();
    assert.deepEqual(await bob.next("left"), [[]]);
  });
});
