// The twin of `custom.rhai`.
export default (io) =>
  io.on("connection", (socket) => {
    socket.emit("welcome", socket.handshake.auth);
    socket.on("echo", (value) => socket.emit("echo", value));
    socket.on("id", (ack) => ack(socket.id));
  });
