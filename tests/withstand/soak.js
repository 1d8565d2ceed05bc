// Connects and leaves again and again: the memory must not grow.
import WebSocket from 'ws';
import { Server } from './server.js';

const AT_ONCE = 50;

function visit(server) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`, { perMessageDeflate: false });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('message', (data) => {
      const packet = data.toString();
      if (packet.startsWith('0')) socket.send('40/good,');
      if (packet.startsWith('40')) socket.send('42/good,1["echo",1]');
      if (packet.startsWith('43')) socket.close();
    });
  });
}

export async function soak(visits, kinds = ['patchcord', 'node']) {
  let held = true;
  for (const kind of kinds) {
    const server = await Server.start(kind);
    const memory = [];
    const start = performance.now();
    for (let tenth = 1; tenth <= 10; tenth += 1) {
      let left = visits / 10;
      const worker = async () => { while (left > 0) { left -= 1; await visit(server); } };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      memory.push(server.memory().now);
    }
    const seconds = (performance.now() - start) / 1000;
    console.log(`${kind}: ${visits} visits in ${seconds.toFixed(0)} s, memory after each tenth: ${memory.join(', ')} MB`);
    // The first tenth warms the allocator up.
    if (kind === 'patchcord') held = memory.at(-1) <= memory[1] * 1.2 + 5;
    await server.stop();
  }
  return held;
}
