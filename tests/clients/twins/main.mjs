// The twin of `main.rhai`.
export default (io) =>
  io.on("connection", (socket) => {
    socket.emit("welcome", socket.handshake.auth);
    socket.on("echo", (...args) => socket.emit("echo", ...args));
    socket.on("answer", (...args) => args.pop()(...args));
    socket.on("ask me", (question) => {
      socket.emit("question", question, (answer) => socket.emit("answered", answer));
    });
    socket.on("tell others", (text) => socket.broadcast.emit("told", text));
    socket.on("id", (ack) => ack(socket.id));
    socket.on("disconnect me", () => socket.disconnect());
    socket.on("close me", () => socket.disconnect(true));
  });
