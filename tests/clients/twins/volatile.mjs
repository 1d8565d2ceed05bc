// The twin of `volatile.rhai`.
export default (io) =>
  io.on("connection", (socket) => {
    if (socket.handshake.auth.greet) {
      socket.emit("ev", "plain");
      socket.volatile.emit("ev", "volatile");
      socket.emit("end");
    }
    socket.on("one", (n) => socket.volatile.emit("ev", n, 1));
    socket.on("two", (n) => {
      socket.volatile.emit("ev", n, 1);
      socket.volatile.emit("ev", n, 2);
      socket.emit("end", n);
    });
    socket.on("plain first", (n) => {
      socket.emit("ev", n, 1);
      socket.volatile.emit("ev", n, 2);
      socket.emit("end", n);
    });
    socket.on("between", (n) => {
      socket.emit("ev", n, 1);
      socket.volatile.emit("ev", n, 2);
      socket.emit("ev", n, 3);
      socket.emit("end", n);
    });
    socket.on("binary", (first, second) => {
      socket.volatile.emit("ev", first);
      socket.volatile.emit("ev", second);
      socket.emit("end");
    });
    socket.on("to all", (first, second) => {
      io.volatile.emit("ev", first);
      io.volatile.emit("ev", second);
      socket.emit("end");
    });
    socket.on("tell others", (n) => socket.broadcast.emit("told", n));
    socket.on("end", (n) => socket.emit("end", n));
    socket.on("id", (ack) => ack(socket.id));
  });
