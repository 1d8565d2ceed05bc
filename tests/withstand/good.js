// Good clients on a thread of their own, so that what the others do does not count as waiting.
import { parentPort, workerData } from 'node:worker_threads';
import { io } from 'socket.io-client';

const { url, pause, count } = workerData;
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const found = { times: [], wrong: 0, lost: 0 };
let going = true;

async function client() {
  const socket = io(`${url}/good`, { transports: ['websocket'], forceNew: true });
  await new Promise((resolve) => { socket.once('connect', resolve); });
  socket.on('disconnect', () => { if (going) found.lost += 1; });
  return socket;
}

// Asks again and again, and notes wrong answers and how long each took.
async function ask(socket) {
  for (let n = 0; going; n += 1) {
    const start = performance.now();
    const answer = await Promise.race([
      new Promise((resolve) => { socket.emit('echo', n, resolve); }),
      sleep(10_000).then(() => 'none'),
    ]);
    found.times.push(performance.now() - start);
    if (answer !== n) found.wrong += 1;
    if (answer === 'none') return;
    await sleep(pause);
  }
}

const sockets = await Promise.all(Array.from({ length: count }, client));
const done = Promise.all(sockets.map(ask));
parentPort.once('message', async () => {
  going = false;
  await Promise.race([done, sleep(3000)]);
  parentPort.postMessage(found);
});
parentPort.postMessage('connected');
