// Rooms: coming, going, who is there; and what a script can do with the sockets of others.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve } from "./server.js";

onEachTransport("rooms", ({ connect }) => {
  /** So many clients, alone on a server of their own. */
  async function people(t, count) {
    const server = await serve(t, here("scripts"));
    const all = [];
    for (let n = 0; n < count; n++) all.push(await connect(t, server.url, "/rooms"));
    return all;
  }

  const idOf = (client) => client.socket.id;
  const sorted = (list) => [...list].sort();

  /** The rooms of a client without the one of its own id, which must be among them. */
  async function roomsOf(client) {
    const [rooms] = await client.ask("rooms");
    assert.ok(rooms.includes(idOf(client)), `${rooms} must have the own id`);
    return sorted(rooms.filter((room) => room !== idOf(client)));
  }

  /** Which of these clients hear what is told to a room. */
  async function members(room, clients) {
    await clients[0].ask("tell", room, room);
    const heard = [];
    for (const client of clients) {
      await client.ask("done");
      const told = client.untaken.includes("told");
      if (told) assert.deepEqual(await client.next("told"), [room]);
      heard.push(told);
    }
    return heard;
  }

  test("everyone begins in the room of the own id", async (t) => {
    const [ada] = await people(t, 1);
    assert.deepEqual(await ada.ask("rooms"), [[idOf(ada)]]);
  });

  test("who joins hears what is told there, who leaves does not", async (t) => {
    const all = await people(t, 3);
    const [ada, bob] = all;
    await ada.ask("join", "red");
    await bob.ask("join", "red");
    assert.deepEqual(await members("red", all), [true, true, false]);
    await bob.ask("leave", "red");
    assert.deepEqual(await members("red", all), [true, false, false]);
    assert.deepEqual([await roomsOf(ada), await roomsOf(bob)], [["red"], []]);
  });

  test("several rooms are joined at once", async (t) => {
    const [ada] = await people(t, 1);
    await ada.ask("join", ["red", "blue", "green"]);
    await ada.ask("join", []);
    assert.deepEqual(await roomsOf(ada), ["blue", "green", "red"]);
  });

  test("joining twice and leaving what was not joined is no harm", async (t) => {
    const all = await people(t, 1);
    await all[0].ask("join", "red");
    await all[0].ask("join", "red");
    await all[0].ask("leave", "blue");
    assert.deepEqual(await members("red", all), [true]);
    await all[0].ask("leave", "red");
    assert.deepEqual(await members("red", all), [false]);
  });

  test("`leave_all` leaves every room", async (t) => {
    const all = await people(t, 2);
    for (const client of all) await client.ask("join", ["red", "blue"]);
    await all[1].ask("leave all");
    assert.deepEqual(await members("red", all), [true, false]);
    assert.deepEqual(await members("blue", all), [true, false]);
    const [rooms] = await all[1].ask("rooms");
    assert.ok(!rooms.includes("red") && !rooms.includes("blue"), `${rooms}`);
    assert.ok(all[1].socket.connected);
  });

  test("the room of the own id is left, joined by others and left out as any other", async (t) => {
    const all = await people(t, 3);
    const [ada, bob] = all;
    assert.deepEqual(await members(idOf(bob), all), [false, true, false]);
    await ada.ask("join", idOf(bob));
    assert.deepEqual(await members(idOf(bob), all), [true, true, false]);
    assert.deepEqual(await members([idOf(bob), idOf(ada)], all), [true, true, false]);
    await bob.ask("leave", idOf(bob));
    assert.deepEqual(await members(idOf(bob), all), [true, false, false]);
    assert.deepEqual(await bob.ask("rooms"), [[]]);
    await bob.ask("join", idOf(bob));
    assert.deepEqual(await members(idOf(bob), all), [true, true, false]);
    await ada.ask("tell but", [idOf(bob)], "hi");
    for (const client of all) await client.ask("done");
    assert.deepEqual(all.map((client) => client.untaken.includes("told")), [false, false, true]);
  });

  test("a name of a room is any text", async (t) => {
    const all = await people(t, 2);
    for (const room of ["ünï 🎉", "a, b", "/rooms", "with \"quotes\"", "1"]) {
      await all[1].ask("join", room);
      assert.deepEqual(await members(room, all), [false, true], room);
    }
  });

  test("`socket.rooms` can be walked and counted", async (t) => {
    const [ada] = await people(t, 1);
    await ada.ask("join", ["red", "blue"]);
    const [{ names, count }] = await ada.ask("rooms by loop");
    assert.deepEqual(sorted(names), sorted(["red", "blue", idOf(ada)]));
    assert.equal(count, 3);
  });

  test("`io.rooms` has every room in which someone is", async (t) => {
    const [ada, bob] = await people(t, 2);
    const ids = [idOf(ada), idOf(bob)];
    assert.deepEqual(sorted((await ada.ask("all rooms"))[0]), sorted(ids));
    await ada.ask("join", ["red", "blue"]);
    await bob.ask("join", "red");
    assert.deepEqual((await ada.ask("all rooms"))[0], [...ids, "red", "blue"]);
    await ada.ask("leave", "blue");
    await ada.ask("leave", "red");
    assert.deepEqual(sorted((await ada.ask("all rooms"))[0]), sorted([...ids, "red"]));
    await bob.leave();
    await ada.next("left");
    assert.deepEqual((await ada.ask("all rooms"))[0], [idOf(ada)]);
  });

  test("`io.sockets` has everyone who is connected", async (t) => {
    const all = await people(t, 3);
    const ids = sorted(all.map(idOf));
    const [walked] = await all[0].ask("sockets");
    assert.deepEqual(sorted(walked.ids), ids);
    assert.equal(walked.count, 3);
    assert.deepEqual(sorted((await all[0].ask("sockets as array"))[0]), ids);
    await all[2].leave();
    await all[0].next("left");
    assert.equal((await all[0].ask("sockets"))[0].count, 2);
  });

  test("`io.socket(id)` is the one with that id, or nobody", async (t) => {
    const [ada, bob] = await people(t, 2);
    await bob.ask("join", "red");
    const [found] = await ada.ask("look up", idOf(bob));
    assert.deepEqual({ ...found, rooms: sorted(found.rooms) }, { id: idOf(bob), connected: true, rooms: sorted([idOf(bob), "red"]) });
    assert.deepEqual(await ada.ask("look up", "no such id"), ["nobody"]);
    const gone = idOf(bob);
    await bob.leave();
    await ada.next("left");
    assert.deepEqual(await ada.ask("look up", gone), ["nobody"]);
  });

  test("one socket speaks to another, and moves it", async (t) => {
    const all = await people(t, 3);
    const [ada, bob] = all;
    await ada.ask("tell one", idOf(bob), "psst");
    assert.deepEqual(await bob.next("told"), ["psst"]);
    await ada.ask("put into", idOf(bob), "red");
    assert.deepEqual(await members("red", all), [false, true, false]);
    await ada.ask("take out of", idOf(bob), "red");
    assert.deepEqual(await members("red", all), [false, false, false]);
  });

  test("one socket disconnects another", async (t) => {
    const [ada, bob] = await people(t, 2);
    const id = idOf(bob);
    await ada.ask("disconnect one", id);
    assert.equal((await bob.next("disconnect"))[0], "io server disconnect");
    assert.deepEqual(await ada.next("left"), [id, "server namespace disconnect"]);
  });

  test("`sockets_join` and `sockets_leave` move everyone", async (t) => {
    const all = await people(t, 3);
    await all[0].ask("everyone joins", ["red", "blue"]);
    assert.deepEqual(await members("red", all), [true, true, true]);
    assert.deepEqual(await members("blue", all), [true, true, true]);
    await all[0].ask("everyone leaves", "red");
    assert.deepEqual(await members("red", all), [false, false, false]);
    assert.deepEqual(await members("blue", all), [true, true, true]);
  });

  test("after an operator they move those it names", async (t) => {
    const all = await people(t, 3);
    await all[1].ask("join", "red");
    await all[0].ask("members join", "red", "blue");
    assert.deepEqual(await members("blue", all), [false, true, false]);
    await all[0].ask("members leave", "red", ["blue", "red"]);
    assert.deepEqual(await members("red", all), [false, false, false]);
    await all[0].ask("others join", "green");
    assert.deepEqual(await members("green", all), [false, true, true]);
  });

  test("`disconnect_sockets` disconnects everyone, who asked included", async (t) => {
    const all = await people(t, 3);
    all[0].emit("disconnect everyone");
    for (const client of all) assert.equal((await client.next("disconnect"))[0], "io server disconnect");
  });

  test("`disconnect_sockets` of a room leaves the others alone", async (t) => {
    const all = await people(t, 3);
    for (const client of all.slice(1)) await client.ask("join", "red");
    all[0].emit("disconnect members", "red");
    for (const client of all.slice(1)) assert.equal((await client.next("disconnect"))[0], "io server disconnect");
    await all[0].next("left");
    await all[0].next("left");
    assert.equal((await all[0].ask("sockets"))[0].count, 1);
  });

  test("`fetch_sockets` hands over everyone, or those an operator names", async (t) => {
    const all = await people(t, 3);
    assert.deepEqual(sorted((await all[0].ask("fetch"))[0]), sorted(all.map(idOf)));
    await all[1].ask("join", "red");
    assert.deepEqual(await all[0].ask("fetch members", "red"), [[idOf(all[1])]]);
    assert.deepEqual(await all[0].ask("fetch members", "nobody is here"), [[]]);
  });

  test("what was fetched can be spoken to, moved and disconnected", async (t) => {
    const all = await people(t, 3);
    await all[0].ask("fetch and tell", "hello");
    for (const client of all) assert.deepEqual(await client.next("told"), ["hello"]);
    assert.deepEqual(await members("fetched", all), [true, true, true]);
    await all[0].ask("leave", "fetched");
    all[0].emit("fetch and disconnect", "fetched");
    for (const client of all.slice(1)) assert.equal((await client.next("disconnect"))[0], "io server disconnect");
    assert.ok(all[0].socket.connected);
  });
});
