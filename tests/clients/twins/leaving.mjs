// The twin of `leaving.rhai`.
export default (io) =>
  io.on("connection", (socket) => {
    socket.on("echo", (value) => socket.emit("echo", value));
    socket.on("disconnect", (reason) => socket.broadcast.emit("left", socket.handshake.auth.name, reason));
  });
