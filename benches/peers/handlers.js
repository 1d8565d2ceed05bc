// What scripts/main.rhai and scripts/chat.rhai say, for Node and Bun.
export function serve(io) {
  io.on("connection", (socket) => {
    socket.on("echo", (value) => { socket.emit("echo", value); });
  });

  const chat = io.of("/chat");
  chat.on("connection", (socket) => {
    let name = "anonymous";
    let count = 0;
    const seen = [];

    socket.on("set name", (newName) => { name = newName; });
    socket.on("count", (ack) => { count += 1; ack(count); });
    socket.on("seen", (id) => { seen.push(id); });
    socket.on("who", (ack) => { ack({ name, count, seen: seen.length }); });
    socket.on("say", (text) => { chat.emit("said", text); });
  });
}
